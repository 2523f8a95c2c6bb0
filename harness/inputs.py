"""Inputs of results: the data and weights on this machine, identified without reading all of them.

Data are identified by their files' names and sizes, small data also by their contents. A file time
alone proves nothing. But a file whose times are those noted in RUNS/.inputs is not read again.

In an image folder of at most FEW files, each file is checked. In a larger one, only the times of
its folders are: adding, removing or renaming a file changes its folder's time. Overwriting a file
in place does not; this is found when a stage next opens the data.
"""

from __future__ import annotations

import array
import hashlib
import json
import os
import re
import stat
import sys
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness import box_files, data_roots, mask_files
from harness.data_check import DOWNLOADED
from harness.data_roots import AnyRoot
from harness.errors import DataError, StoreError
from harness.imagefolder import (
    SPLITS,
    WHOLE,
    Found,
    Kind,
    left_out,
    listed_to_leave_out,
    names_in,
    walk,
)
from harness.input_notes import Note, times_of
from harness.recipe.detection import BOX_FOLDERS
from harness.recipe.photos import PHOTOS
from harness.recipe.segmentation import MASK_FOLDERS
from harness.recipe.svm import LABELLED_FOLDERS
from harness.store.layout import StageFolder

if TYPE_CHECKING:
    from harness.recipe.schema import Data, Weights
    from harness.recipe.task import TaskSection

FEW = 20_000
"""Maximum number of files of an image folder for which each file is checked every time."""
LIGHT = 64 << 20
"""Maximum total size in bytes for which the contents are compared as well."""
TIME_LIMIT_S = 20.0
"""Time limit in seconds to check a large folder; the next check continues there."""

RUN = "run"
"""Kind of inputs that are another run's weights."""

ANNOTATED: dict[str, tuple[Mapping[Any, Sequence[str]], mask_files.List]] = {
    "masks": (MASK_FOLDERS, mask_files.files_of),
    "boxes": (BOX_FOLDERS, box_files.files_of),
    "images": (LABELLED_FOLDERS, box_files.files_of),  # VOC's labels are those of its boxes
}
"""Inputs that are data sets with annotations: the folders of each, and what lists its files."""
FILES = ("weights", "labels")
"""Inputs that are one file, unless of the kind RUN."""
PACK = "pack.json"
OF_SETS = re.compile(r"data_batch_\d|test_batch|train|test|(train|test|unlabeled)_[Xy]\.bin")
"""The files of torchvision's data sets that hold images or labels."""


class Unfinished(Exception):
    """The time limit was reached before everything was checked."""


class Inputs:
    """Checks inputs, each only once: a `harness.store.stale.CheckInput`."""

    def __init__(self, root: AnyRoot | None, runs: Path, limit_s: float | None = None) -> None:
        """`root` is the data root. An input that is not there is searched where the stage has read
        it, also if `root` is None. Results of the checks are noted under the run root `runs`."""
        self._root, self._runs = root, runs
        self._left_s = TIME_LIMIT_S if limit_s is None else limit_s
        self._seen: dict[tuple[str, str, str, str, bool], dict[str, Any] | None] = {}
        self.unfinished: list[str] = []
        """Folders that were too large to be checked in time."""

    def __call__(self, what: str, said: Mapping[str, Any]) -> dict[str, Any] | None:
        name, path, of = (str(said.get(key, "")) for key in ("name", "path", "of"))
        images = said.get("images")
        few = isinstance(images, int) and images <= FEW
        key = (what, name, path, of, few)
        if key not in self._seen:
            began = time.monotonic()
            until = began + self._left_s
            found = None
            if what in ANNOTATED:
                read = data_roots.read(path) if path.startswith("/") else None
                found = self._annotated(what, name, [self._root, read], until)
            elif place := self._run(name, path) if of == RUN else self._place(what, name, path):
                found = self._described(what, name, place, of, until, each=few)
            self._left_s -= time.monotonic() - began  # the time between checks does not count
            self._seen[key] = found
        return self._seen[key]

    def _place(self, what: str, name: str, path: str) -> Path | None:
        """Where the input would be read now; if it is not there, where it was read."""
        places = [self._root / name] if self._root is not None and name else []
        places += [Path(path)] if path.startswith("/") else []
        there = os.path.isfile if what in FILES else os.path.isdir
        return next((each for each in places if there(each)), None)

    def _run(self, name: str, path: str) -> Path | None:
        """The folder of a run that served as source: its old place, else in this run root."""
        places = [Path(path)] if path.startswith("/") else []
        places += [self._runs / name] if name else []
        return next(filter(os.path.isdir, places), None)  # a closed folder is none

    def data(self, data: Data) -> dict[str, Any] | None:
        """What a result records of the data. Each file is checked, without a time limit.

        None for generated images, which come from code.
        """
        if data.folder is not None:
            whole = "pictures" if not data.labelled else "classes" if data.split else "folder"
            return self._made_from("data", data.folder, whole)
        if data.name in PHOTOS:
            return self._made_from("data", PHOTOS[data.name].folder, data.name)
        if data.name in DOWNLOADED:
            return self._made_from("data", DOWNLOADED[data.name][0], "set")
        return None

    def test_data(self, data: Data) -> dict[str, Any] | None:
        """What a result records of test images from another folder; None if there are none."""
        return self._made_from("test_data", data.test, "classes") if data.test is not None else None

    def weights(self, weights: Weights) -> dict[str, Any] | None:
        """What a result records of a file of given weights."""
        assert weights.file is not None
        return self._made_from("weights", weights.file, "file")

    def further(self, section: TaskSection) -> dict[str, dict[str, Any] | None]:
        """What a result records of a task's inputs besides its data, by their names there."""
        return {
            what: self._annotated(what, name, [self._root], float("inf"))
            if what in ANNOTATED
            else self._made_from(what, name, "file")
            for what, name in section.inputs().items()
        }

    def source(self, folder: StageFolder) -> dict[str, Any] | None:
        """What a result records of the run that gave its initial weights."""
        return self._described("weights", folder.id, folder.path, RUN, float("inf"), each=True)

    def _made_from(self, what: str, name: str, of: str) -> dict[str, Any] | None:
        assert self._root is not None
        return self._described(what, name, self._root / name, of, float("inf"), each=True)

    def _described(
        self, what: str, name: str, place: Path, of: str, until: float, *, each: bool
    ) -> dict[str, Any] | None:
        """The input's present state; None if it cannot be read, is of another kind, or is not known
        by `until` (time.monotonic)."""
        note = Note(self._runs, place)
        try:
            if of == RUN:
                found = _source(place)
            elif what in FILES:
                found = _hashed(place, note)
            elif of == "set":
                found = _downloaded(place)
            elif of in ("pictures", "classes"):
                kind: Kind = "pictures" if of == "pictures" else "classes"
                found = _folder(place, note, until, each=each, kind=kind)
            elif of in PHOTOS:
                found = _folder(place, note, until, each=each, kind="set") | {"of": of}
                if lists := PHOTOS[of].lists:
                    crcs = (zlib.crc32((place / name).read_bytes()) for name in lists)
                    found["lists"] = _digest(zip(lists, crcs, strict=True))
            elif (place / PACK).is_file():
                found = _pack(place, note)
            else:
                found = _folder(place, note, until, each=each)
        except Unfinished:
            self.unfinished.append(str(place))
            found = None
        except (DataError, StoreError, OSError, LookupError, TypeError, ValueError, RecursionError):
            return None  # the stage that reads it reports the error
        note.write()
        return found and {"name": name, "path": str(place.absolute()), **found}

    def _annotated(
        self, what: str, name: str, roots: Iterable[AnyRoot | None], until: float
    ) -> dict[str, Any] | None:
        """The present state of a data set with annotations in the first root that has it; otherwise
        as `_described`."""
        folders, files_of = ANNOTATED[what]
        try:
            if (root := mask_files.holder(folders.get(name, ()), roots)) is None:
                return None
            note = Note(self._runs, root / folders[name][0])
            found = _listed(*files_of(name, root), note, until)
        except Unfinished:
            self.unfinished.append(f"{name} in {root}")
            return None
        except (DataError, OSError):
            return None  # the stage that reads it reports the error
        note.write()
        return {"name": name, "path": str(root.absolute()), **found}


def _hashed(path: Path, note: Note) -> dict[str, Any]:
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("not a regular file")
    found = note.known("file")
    if found.get("seen") != times_of(about):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found = note.after["file"] = {"seen": note.settled(times_of(about)), "sha256": digest}
    return {"sha256": str(found["sha256"]), "bytes": about.st_size}


def _listed(paths: list[list[Path]], images: int, note: Note, until: float) -> dict[str, Any]:
    """Images with annotations, to train and to test on; every file is checked. Of masks the
    fingerprint is that of the stage that uses all of them."""
    parts: list[list[tuple[Path, int]]] = []
    for part in paths:
        parts.append([])
        for sized in mask_files.sizes(path.absolute() for path in part):
            parts[-1].append(sized)
            if time.monotonic() > until:
                raise Unfinished
    files = {str(path)[1:]: size for part in parts for path, size in part}
    fingerprint = mask_files.fingerprint(*map(mask_files.digest, parts))
    size = sum(files.values())
    said = {"fingerprint": fingerprint, "images": images, "bytes": size}
    if size <= LIGHT:
        said["contents"] = _digest(zip(files, note.sums(Path("/"), files), strict=True))
    return said


def _source(folder: Path) -> dict[str, Any]:
    """A finished run, identified by its last checkpoint's digest, which is in the file's name."""
    result = StageFolder(folder).result or {}
    digest = result["weights"]
    if not isinstance(digest, str):
        raise ValueError("no weights")
    return {"of": RUN, "sha256": digest}


def _downloaded(folder: Path) -> dict[str, Any]:
    """torchvision itself compares the contents each time it opens them."""
    files = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    total, size = hashlib.sha256(), 0
    for name in sorted(filter(OF_SETS.fullmatch, files)):
        total.update(f"{name}\0{files[name]}\0".encode())
        size += files[name]
    if not size:
        raise ValueError("no such file or folder")
    return {"of": "set", "fingerprint": total.hexdigest()[:12], "bytes": size}


class Class(NamedTuple):
    """The images of one class in one split."""

    digest: str
    """Hash of their names and sizes."""
    images: int
    bytes: int
    folders: dict[str, int]
    """The class's folders, relative to the split's, with their change times."""


def _folder(
    place: Path, note: Note, until: float, *, each: bool, kind: Kind | Literal["set"] = "split"
) -> dict[str, Any]:
    """An image folder, or one without train and val; with `each`, every file is checked, whatever
    the folders' times. Of a published set, no image is left out."""
    whole = kind == "pictures"
    seen: dict[str, Class] = {}
    files: list[tuple[str, Found]] = []
    late: list[str] = []
    listed_out = listed_to_leave_out(place) if kind in ("pictures", "classes") else ()
    out = left_out(place) if kind == "split" else {"": {*listed_out}}
    listed = {part: sorted(names) for part, names in out.items()}
    before = {} if each or note.known("left_out") != listed else _noted(note)
    parts = [part for part in out if (place / part).is_dir()]
    for part in parts:
        folder = place / part

        def spared(name: str, part: str = part, folder: Path = folder) -> bool:
            known = before.get(f"{part}/{name}")
            if known is not None and _unchanged(folder, known):
                seen[f"{part}/{name}"] = known
                return True
            if time.monotonic() > until:
                late.append(name)
                return True
            return False

        found = walk(folder, out[part], spared, "classes" if kind == "set" else kind)
        folders: dict[str, dict[str, int]] = {}
        for inner, changed in found.folders.items():
            settled = note.settled([changed])
            first = WHOLE if whole else inner.partition("/")[0]
            folders.setdefault(first, {})[inner] = settled[0] if settled else 0
        for name, images in found.classes.items():
            digest = _digest(((image.name, image.size) for image in images), whole=whole)
            size = sum(image.size for image in images)
            seen[f"{part}/{name}"] = Class(digest, len(images), size, folders[name])
            files += [(part, image) for image in images]
    if not parts:
        raise ValueError("not an image folder")
    said = _summed("folder" if kind == "split" else kind, seen)
    if late or said["images"] > FEW:
        note.after["left_out"] = listed
        note.after["classes"] = {name: list(one) for name, one in seen.items()}
    if late:
        raise Unfinished
    if each and said["images"] <= FEW and said["bytes"] <= LIGHT:
        sums = note.sums(
            place, (f"{part}/{image.name}" if part else image.name for part, image in files)
        )
        said["contents"] = _digest(
            ((image.name, crc) for (_, image), crc in zip(files, sums, strict=True)), whole=whole
        )
    return said


def _unchanged(folder: Path, known: Class) -> bool:
    try:
        return all((folder / name).stat().st_ctime_ns == t for name, t in known.folders.items())
    except OSError:
        return False


def _noted(note: Note) -> dict[str, Class]:
    """The classes as noted by an earlier check."""
    found = {}
    for name, (digest, images, size, folders) in note.known("classes").items():
        found[name] = Class(str(digest), int(images), int(size), dict(folders))
    return found


def _summed(of: str, classes: Mapping[str, Class]) -> dict[str, Any]:
    digest = _digest((name, classes[name].digest) for name in sorted(classes))
    images = sum(one.images for one in classes.values())
    size = sum(one.bytes for one in classes.values())
    return {"of": of, "fingerprint": digest, "images": images, "bytes": size}


def _digest(named: Iterable[tuple[str, object]], *, whole: bool = False) -> str:
    """Twelve hexadecimal digits of a hash over each name's last two parts, or the whole name, and
    its value."""
    total = hashlib.sha256()
    for name, value in named:
        known = name if whole else "/".join(name.split("/")[-2:])
        total.update(os.fsencode(f"{known}\0{value}\0"))
    return total.hexdigest()[:12]


def _pack(place: Path, note: Note) -> dict[str, Any]:
    """A pack; it gets the same identity as a folder with the same files."""
    inner = [PACK, *(f"{part}/{name}" for part in SPLITS for name in _FILES)]
    seen = [times_of((place / name).stat()) for name in inner]
    found = note.known("pack")
    if found.get("seen") != seen:
        said = _read_pack(place)
        found = note.after["pack"] = {"seen": [note.settled(times) for times in seen], "said": said}
    return dict(found["said"])


_FILES = ("index.bin", "names.txt", "images.bin")


def _read_pack(place: Path) -> dict[str, Any]:
    manifest = json.loads((place / PACK).read_bytes())
    classes: dict[str, Class] = {}
    sums: list[tuple[str, int]] = []
    for part in SPLITS:
        rows = array.array("q", (place / part / "index.bin").read_bytes())
        if sys.byteorder == "big":
            rows.byteswap()
        names = names_in((place / part / "names.txt").read_bytes())
        sizes, labels, crcs = rows[1::4], rows[2::4], rows[3::4]
        whole = (place / part / "images.bin").stat().st_size == sum(sizes)
        by_label: dict[int, list[tuple[str, int]]] = {}
        for name, size, label in zip(names, sizes, labels, strict=True):
            by_label.setdefault(label, []).append((name, size if whole else -1))
        for label, images in by_label.items():
            named = f"{part}/{manifest['classes'][label]}"
            size = sum(size for _, size in images)
            classes[named] = Class(_digest(images), len(images), size, {})
        sums += zip(names, crcs, strict=True)
    return {**_summed("pack", classes), "contents": _digest(sums)}
