"""The inputs of results: which data and weights lie here, told without reading all of them.

Data are known by their files' names and sizes, and small ones by their contents. A time alone says
nothing; but what has the times that it had, as RUNS/.inputs notes them, is not looked at again.

Of an image folder of FEW files each is looked at. Of a larger one only the times of its folders
are: a file that comes, goes or gets another name changes its folder's time. One that is overwritten
in place does not, and is seen when a stage next opens the data.
"""

from __future__ import annotations

import array
import contextlib
import hashlib
import json
import os
import re
import stat
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.data_check import DOWNLOADED
from harness.errors import DataError, StoreError
from harness.imagefolder import SPLITS, Found, left_out, names_in, walk
from harness.store import atomic
from harness.store.layout import StageFolder

if TYPE_CHECKING:
    from harness.recipe.schema import Data, Weights

FEW = 20_000
"""Files of an image folder up to which each is looked at every time."""
LIGHT = 64 << 20
"""Bytes of all its files up to which their contents are compared as well."""
SETTLED_NS = 2 * 10**9
"""A time that was younger when it was seen may stand for more than one state."""
PATIENCE_S = 20.0
"""Seconds after which a look at a large folder is broken off; the next goes on from there."""

RUN = "run"
"""What inputs are that are another run's weights."""
PACK = "pack.json"
OF_SETS = re.compile(r"data_batch_\d|test_batch|train|test|(train|test|unlabeled)_[Xy]\.bin")
"""The files of torchvision's data sets that hold images or labels."""


class Unfinished(Exception):
    """There was no time to look at everything."""


class Inputs:
    """Looks at inputs, at each once: a `harness.store.stale.Look`."""

    def __init__(self, root: Path | None, runs: Path, patience_s: float | None = None) -> None:
        """Take `root` for the data root. Where it lacks an input, or is None, that is looked for
        where the stage has read it. What is seen is noted under the run root `runs`."""
        self._root, self._runs = root, runs
        self._left_s = PATIENCE_S if patience_s is None else patience_s
        self._seen: dict[tuple[str, str, str, str, bool], dict[str, Any] | None] = {}
        self.unfinished: list[str] = []
        """Folders that were too large to be looked at in time."""

    def __call__(self, what: str, said: Mapping[str, Any]) -> dict[str, Any] | None:
        name, path, of = (str(said.get(key, "")) for key in ("name", "path", "of"))
        images = said.get("images")
        few = isinstance(images, int) and images <= FEW
        key = (what, name, path, of, few)
        if key not in self._seen:
            place = self._run(name, path) if of == RUN else self._place(what, name, path)
            began = time.monotonic()
            until = began + self._left_s
            found = None
            if place is not None:
                found = self._look(what, name, place, of, until, each=few)
            self._left_s -= time.monotonic() - began  # what a caller does meanwhile is no look
            self._seen[key] = found
        return self._seen[key]

    def _place(self, what: str, name: str, path: str) -> Path | None:
        """Where the input would be read now; where it is not there, where it was read."""
        places = [self._root / name] if self._root is not None and name else []
        places += [Path(path)] if path.startswith("/") else []
        there = os.path.isdir if what == "data" else os.path.isfile
        return next((each for each in places if there(each)), None)

    def _run(self, name: str, path: str) -> Path | None:
        """Where a run that served as source lies now: where it lay, else in this run root."""
        places = [Path(path)] if path.startswith("/") else []
        places += [self._runs / name] if name else []
        return next((each for each in places if each.is_dir()), None)

    def data(self, data: Data) -> dict[str, Any] | None:
        """What a result says of the data: each file of it is looked at, however long that takes.

        None for generated images, which are the code's.
        """
        if data.folder is not None:
            return self._made_from("data", data.folder, "folder")
        if data.name in DOWNLOADED:
            return self._made_from("data", DOWNLOADED[data.name][0], "set")
        return None

    def weights(self, weights: Weights) -> dict[str, Any] | None:
        """What a result says of a file of given weights."""
        assert weights.file is not None
        return self._made_from("weights", weights.file, "file")

    def source(self, folder: StageFolder) -> dict[str, Any] | None:
        """What a result says of a run whose weights it began with."""
        return self._look("weights", folder.id, folder.path, RUN, float("inf"), each=True)

    def _made_from(self, what: str, name: str, of: str) -> dict[str, Any] | None:
        assert self._root is not None
        return self._look(what, name, self._root / name, of, float("inf"), each=True)

    def _look(
        self, what: str, name: str, place: Path, of: str, until: float, *, each: bool
    ) -> dict[str, Any] | None:
        """What is there now; None if it cannot be read, is none of its kind, or is not known by
        `until` (time.monotonic)."""
        note = Note(self._runs, place)
        try:
            if of == RUN:
                found = _source(place)
            elif what == "weights":
                found = _weights(place, note)
            elif of == "set":
                found = _downloaded(place)
            elif (place / PACK).is_file():
                found = _pack(place, note)
            else:
                found = _folder(place, note, until, each=each)
        except Unfinished:
            self.unfinished.append(str(place))
            found = None
        except (DataError, StoreError, OSError, LookupError, TypeError, ValueError, RecursionError):
            return None  # a stage that reads it says why
        note.write()
        return found and {"name": name, "path": str(place.absolute()), **found}


class Note:
    """What was seen at a place, and when: RUNS/.inputs/<digest of the path>.json.

    It may be deleted at any time, and is not written where that is not allowed.
    """

    def __init__(self, runs: Path, place: Path) -> None:
        self._place = os.path.realpath(place)
        self._now = time.time_ns()
        named = hashlib.sha256(os.fsencode(self._place)).hexdigest()[:16]
        self._path = runs / ".inputs" / f"{named}.json"
        try:
            said = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            said = None
        whole = isinstance(said, dict) and said.get("place") == self._place
        self._before = said if whole else {"place": self._place}
        self.after: dict[str, Any] = dict(self._before)

    def known(self, key: str) -> dict[str, Any]:
        """What was noted under `key`."""
        found = self._before.get(key)
        return found if isinstance(found, dict) else {}

    def settled(self, times: list[int]) -> list[int]:
        """What `_times` found; nothing, which no file has, if the last change is too young to tell
        states apart."""
        return times if times[-1] < self._now - SETTLED_NS else []

    def write(self) -> None:
        """Write what is new, if the run root is there and may be written."""
        if (
            self.after == self._before
            or not self._path.parent.parent.is_dir()
            or self._path.parent.is_symlink()
        ):
            return
        data = json.dumps(self.after, separators=(",", ":")).encode()
        with contextlib.suppress(OSError, StoreError):
            self._path.parent.mkdir(exist_ok=True)
            atomic.write(self._path, lambda file: file.write(data))


def _times(about: os.stat_result) -> list[int]:
    """A file's size, and when its content and its inode changed last, in ns: a copy that keeps the
    old time of content, as by cp -p or rsync -t, has another time of inode."""
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns]


def _weights(path: Path, note: Note) -> dict[str, Any]:
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("no regular file")
    found = note.known("file")
    if found.get("seen") != _times(about):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found = note.after["file"] = {"seen": note.settled(_times(about)), "sha256": digest}
    return {"sha256": str(found["sha256"]), "bytes": about.st_size}


def _source(folder: Path) -> dict[str, Any]:
    """A finished run: its last checkpoint is known by the digest that is in the file's name."""
    result = StageFolder(folder).result or {}
    digest = result["weights"]
    if not isinstance(digest, str):
        raise ValueError("no weights")
    return {"of": RUN, "sha256": digest}


def _downloaded(folder: Path) -> dict[str, Any]:
    """torchvision itself compares the contents whenever it opens them."""
    files = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    total, size = hashlib.sha256(), 0
    for name in sorted(filter(OF_SETS.fullmatch, files)):
        total.update(f"{name}\0{files[name]}\0".encode())
        size += files[name]
    if not size:
        raise ValueError("nothing of it is there")
    return {"of": "set", "fingerprint": total.hexdigest()[:12], "bytes": size}


class Class(NamedTuple):
    """The images of one class of one part."""

    digest: str
    """Of their names and sizes."""
    images: int
    bytes: int
    folders: dict[str, int]
    """The class's folders, relative to the part's, with their times of change."""


def _folder(place: Path, note: Note, until: float, *, each: bool) -> dict[str, Any]:
    """An image folder; `each`: each file is looked at, whatever the times of the folders."""
    seen: dict[str, Class] = {}
    files: list[tuple[str, Found]] = []
    late: list[str] = []
    out = left_out(place)
    listed = {part: sorted(names) for part, names in out.items()}
    before = {} if each or note.known("left_out") != listed else _noted(note)
    parts = [part for part in SPLITS if (place / part).is_dir()]
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

        found = walk(folder, out[part], spared)
        folders: dict[str, dict[str, int]] = {}
        for inner, changed in found.folders.items():
            settled = note.settled([changed])
            folders.setdefault(inner.partition("/")[0], {})[inner] = settled[0] if settled else 0
        for name, images in found.classes.items():
            digest = _digest((image.name, image.size) for image in images)
            size = sum(image.size for image in images)
            seen[f"{part}/{name}"] = Class(digest, len(images), size, folders[name])
            files += [(part, image) for image in images]
    if not parts:
        raise ValueError("no image folder")
    said = _summed("folder", seen)
    if late or said["images"] > FEW:
        note.after["left_out"] = listed
        note.after["classes"] = {name: list(one) for name, one in seen.items()}
    if late:
        raise Unfinished
    if each and said["images"] <= FEW and said["bytes"] <= LIGHT:
        sums = _sums(place, files, note)
        said["contents"] = _digest(
            (image.name, crc) for (_, image), crc in zip(files, sums, strict=True)
        )
    return said


def _unchanged(folder: Path, known: Class) -> bool:
    try:
        return all((folder / name).stat().st_ctime_ns == t for name, t in known.folders.items())
    except OSError:
        return False


def _noted(note: Note) -> dict[str, Class]:
    """The classes as they were seen before."""
    found = {}
    for name, one in note.known("classes").items():
        digest, images, size, folders = one
        found[name] = Class(str(digest), int(images), int(size), dict(folders))
    return found


def _summed(of: str, classes: Mapping[str, Class]) -> dict[str, Any]:
    digest = _digest((name, classes[name].digest) for name in sorted(classes))
    images = sum(one.images for one in classes.values())
    size = sum(one.bytes for one in classes.values())
    return {"of": of, "fingerprint": digest, "images": images, "bytes": size}


def _digest(named: Iterable[tuple[str, object]]) -> str:
    """Twelve hexadecimal digits of each name's last two parts with what belongs to it."""
    total = hashlib.sha256()
    for name, value in named:
        total.update(os.fsencode(f"{'/'.join(name.split('/')[-2:])}\0{value}\0"))
    return total.hexdigest()[:12]


def _sums(place: Path, files: Iterable[tuple[str, Found]], note: Note) -> Iterator[int]:
    """CRC-32 of each file; what has the size and the time that it had is not read again."""
    known, sums = note.known("files"), {}
    for part, image in files:
        path = f"{part}/{image.name}"
        seen = _times((place / path).stat())
        before = known.get(path)
        if not isinstance(before, list) or before[1:] != seen:
            before = [zlib.crc32((place / path).read_bytes()), *note.settled(seen)]
        sums[path] = before
        yield int(before[0])
    note.after["files"] = sums


def _pack(place: Path, note: Note) -> dict[str, Any]:
    """A pack: of the same files as they are, it is known as their folder is."""
    inner = [PACK, *(f"{part}/{name}" for part in SPLITS for name in _FILES)]
    seen = [_times((place / name).stat()) for name in inner]
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
