"""Image folders: lists <folder>/<class>/<image>, or images at any depth, for runs, packs and plans.

A folder's images are the regular files below its class folders that have an image's suffix. Links
are followed. Skipped entries are counted; an entry that cannot be read is an error.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from harness.errors import DataError, cannot_be_read

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

SPLITS = ("train", "val")
LEFT_OUT = "broken.txt"
"""In the data set's folder: images that every run and pack leaves out, as paths relative to it such
as train/<class>/<image>, one per line. `moco-harness data check --leave-out` writes it."""

WHOLE = "."
"""In place of a class: all images of a folder of pictures."""

Kind = Literal["split", "classes", "pictures"]
"""What a folder is: train/ or val/ of an image folder, a data set of class folders without them, or
pictures at any depth."""

HIDDEN = "hidden"
SUFFIX = "without an image suffix"
IRREGULAR = "not a regular file"
LINKED = "linked twice"
LOOSE = "outside a class folder"
EMPTY = "without images"


_Id = tuple[int, int]
"""A folder's device and inode."""


class Found(NamedTuple):
    """One image."""

    name: str
    """Relative to the listed folder: <class>/<image>, or deeper."""
    size: int
    """In bytes."""


@dataclass
class PassedOver:
    """Entries that a walk skipped, by kind. A folder counts once, for any content."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    """An example of each kind, relative to the folder."""

    def add(self, kind: str, name: str) -> None:
        self.counts[kind] += 1
        self.first[kind] = min(name, self.first.get(kind, name))

    def __str__(self) -> str:
        """Such as "2 hidden (cat/.cache ...), 1 linked twice (dog/pipe.jpg)"; "" if nothing."""
        return ", ".join(
            f"{count:,} {kind} ({shown(self.first[kind])}{' ...' if count > 1 else ''})"
            for kind, count in sorted(self.counts.items())
        )


@dataclass(frozen=True)
class ImageFolder:
    """The content of a folder of class folders."""

    path: Path
    classes: dict[str, list[Found]]
    """The images by class, both sorted by name (deeper ones by each part of the path)."""
    folders: dict[str, int]
    """Each listed folder, relative to `path` (itself "."), with its change time (ctime) in ns, read
    before the listing. While no change time differs, no name was added or removed."""
    passed_over: PassedOver
    left_out: tuple[str, ...] = ()
    """Images that exist, but that the caller left out."""
    unmet: tuple[str, ...] = ()
    """Names that the caller left out, but that do not exist."""

    @property
    def digest(self) -> str:
        """First twelve hexadecimal digits of a hash of all images' names and sizes."""
        total = hashlib.sha256()
        for images in self.classes.values():
            for name, size in images:
                total.update(os.fsencode(f"{name}\0{size}\0"))
        return total.hexdigest()[:12]


def splits(folder: Path) -> tuple[ImageFolder, ImageFolder]:
    """FOLDER/train and FOLDER/val, without the images that its broken.txt lists.

    Raises:
        DataError: see walk; a class is only in one of them; or see left_out.
    """
    listed = left_out(folder)
    train, val = (walk(folder / split, listed[split]) for split in SPLITS)
    differing = sorted(set(train.classes) ^ set(val.classes))
    if differing:
        raise DataError(
            f"{shown(folder)}: train and val have different classes ({some(differing)} only in "
            "one of them), so labels would differ; make them equal"
        )
    return train, val


def left_out(folder: Path) -> dict[str, set[str]]:
    """The list in FOLDER/broken.txt: split -> <class>/<image>; empty if there is none.

    Raises:
        DataError: it is not a regular file, cannot be read, or lists something else.
    """
    found: dict[str, set[str]] = {split: set() for split in SPLITS}
    path = folder / LEFT_OUT
    for line in listed_to_leave_out(folder):
        split, _, name = line.partition("/")
        if split not in found:
            raise DataError(
                f"{shown(path)}: {shown(line)}: no image of train/ or val/; write "
                "train/<class>/<image>, as `moco-harness data check --leave-out` does"
            )
        found[split].add(name)
    return found


def listed_to_leave_out(folder: Path) -> list[str]:
    """The lines of FOLDER/broken.txt: paths relative to the folder. [] if there is none.

    Raises:
        DataError: it is no regular file, or cannot be read.
    """
    path = folder / LEFT_OUT
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
        content = path.read_bytes() if regular else b""
    except (FileNotFoundError, NotADirectoryError):
        regular, content = not path.is_symlink(), b""
    except OSError as error:
        raise unread(error, path) from error
    if not regular:
        what = "a broken link" if path.is_symlink() else "not a regular file"
        raise DataError(
            f"{shown(path)}: {what}, but this must be the list of images to leave out; restore "
            "the list, or remove it"
        )
    lines = [os.fsdecode(line) for line in content.splitlines() if line.strip()]
    # a comment, unless it is an image's name
    return [line for line in lines if line[0] != "#" or os.path.lexists(folder / line)]


def some(names: Sequence[str]) -> str:
    """The first three of many names, for a message."""
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(map(shown, names[:3])) + more


def names_in(content: bytes) -> list[str]:
    """The names in a pack's names.txt, each ended by a newline or, to allow any name, by a zero
    byte."""
    end = b"\0" if b"\0" in content else b"\n"
    return [os.fsdecode(name) for name in content.split(end)[:-1]]


def walk(
    path: Path,
    without: Set[str] = frozenset(),
    spared: Callable[[str], bool] | None = None,
    kind: Kind = "split",
) -> ImageFolder:
    """The images of `path`/<class>/..., from the folders' listings and one stat of each file.
    Pictures are all in one class, WHOLE.

    Hidden files and folders are skipped at any depth. No file is opened.

    Args:
        without: images to leave out, as <class>/<image>.
        spared: whether to skip a class folder, by its name, because its content is known already.

    Raises:
        DataError: `path` is no folder or has no images; or a folder, or a possible image, cannot be
            read.
    """
    walker = _Walker(path, without, beside=LEFT_OUT if kind != "split" else "")
    classes: dict[str, list[Found]] = {}
    try:
        known = path.stat()
        above = [_identity(folder.stat()) for folder in path.resolve().parents]
        if kind == "pictures":
            os.scandir(path).close()
        entries = walker.listed(".") if kind != "pictures" else []
    except OSError as error:
        raise _unlike(path, error, kind) from error
    if kind == "pictures" and not (spared is not None and spared(WHOLE)):
        classes[WHOLE] = walker.images_of(WHOLE, known, above)
    above.append(_identity(known))
    listed: set[_Id] = set()
    for entry in sorted(entries, key=os.DirEntry.is_symlink):
        known = _stat(entry)
        if stat.S_ISDIR(known.st_mode):
            if entry.is_symlink() and _identity(known) in listed:  # the same images, another label
                walker.passed_over.add(LINKED, entry.name)
                continue
            listed.add(_identity(known))
            if spared is not None and spared(entry.name):
                continue
            if images := walker.images_of(entry.name, known, above):
                classes[entry.name] = images
            else:
                walker.passed_over.add(EMPTY, entry.name)
        else:
            walker.passed_over.add(LOOSE if _is_image(entry) else SUFFIX, entry.name)
    if not any(classes.values()) and spared is None:
        over = f" (skipped: {walker.passed_over})" if walker.passed_over.counts else ""
        wanted = "; add some" if kind == "pictures" else "; expected <class>/<image>.jpg in it"
        raise DataError(f"{shown(path)}: no images{over}{wanted}")
    left_out = tuple(sorted(walker.left_out))
    unmet = tuple(sorted(without - {*left_out})) if spared is None else ()
    classes = dict(sorted(classes.items()))
    return ImageFolder(path, classes, walker.folders, walker.passed_over, left_out, unmet)


class _Walker:
    """State of one walk: what it listed, and what it skipped."""

    def __init__(self, path: Path, without: Set[str], beside: str) -> None:
        self.path, self.without, self.beside = path, without, beside
        self.left_out: list[str] = []
        self.folders: dict[str, int] = {}
        self.passed_over = PassedOver()

    def images_of(self, name: str, known: os.stat_result, above: list[_Id]) -> list[Found]:
        """The images below the class folder `name`, sorted.

        The target folder of a link is listed only once, and not if it is one of those in `above`:
        this prevents an endless walk along links. Folders that are not links come first.
        """
        if _identity(known) in above:
            self.passed_over.add(LINKED, name)
            return []
        found: list[Found] = []
        seen = set(above)
        todo, linked = [(name, known)], list[tuple[str, os.stat_result]]()
        beyond_link = False
        while todo or linked:
            if not todo:
                todo, beyond_link = [linked.pop(0)], True
            folder, itself = todo.pop()
            if beyond_link and _identity(itself) in seen:
                self.passed_over.add(LINKED, folder)
                continue
            seen.add(_identity(itself))
            try:
                entries = self.listed(folder)
            except OSError as error:
                raise unread(error, self.path / folder) from error
            for entry in entries:
                inner = entry.name if folder == WHOLE else f"{folder}/{entry.name}"
                if inner in self.without:
                    self.left_out.append(inner)
                    continue
                known = _stat(entry)
                if stat.S_ISDIR(known.st_mode):
                    (linked if entry.is_symlink() else todo).append((inner, known))
                elif not _is_image(entry):
                    self.passed_over.add(SUFFIX, inner)
                elif not stat.S_ISREG(known.st_mode):
                    self.passed_over.add(IRREGULAR, inner)
                else:
                    found.append(Found(inner, known.st_size))
        found.sort(key=lambda image: image.name.split("/"))
        return found

    def listed(self, folder: str) -> list[os.DirEntry[str]]:
        """The entries of a folder, sorted, without hidden ones and the list of what is left out;
        OSError if it cannot be read."""
        place = self.path / folder
        self.folders[folder] = place.stat().st_ctime_ns
        with os.scandir(place) as entries:
            every = sorted(entries, key=lambda entry: entry.name)
        for entry in every:
            if entry.name.startswith("."):
                self.passed_over.add(HIDDEN, os.path.relpath(entry.path, self.path))
        beside = self.beside if folder == "." else ""
        return [e for e in every if not e.name.startswith(".") and e.name != beside]


def _stat(entry: os.DirEntry[str]) -> os.stat_result:
    """Stat of the entry or of its link target. For a broken link that is no image: of no kind of
    file.

    Raises:
        DataError: it is an image, or may have been a folder, and cannot be read.
    """
    try:
        found = entry.stat()
    except OSError as error:
        needed = _is_image(entry) or "." not in entry.name
        if needed or isinstance(error, PermissionError):
            raise unread(error, Path(entry.path)) from error
        return os.stat_result((0,) * 10)
    closed = found.st_mode & _ALL != _ALL and _is_image(entry) and stat.S_ISREG(found.st_mode)
    if closed and not os.access(entry.path, os.R_OK):  # only where the mode denies somebody
        denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        raise unread(denied, Path(entry.path))
    return found


_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def _identity(of: os.stat_result) -> _Id:
    return of.st_dev, of.st_ino


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(SUFFIXES)


def _unlike(path: Path, error: OSError, kind: Kind) -> DataError:
    what = "an image folder holds train/<class>/<image> and val/<class>/<image>"
    if kind != "split":
        what = "a folder of images is needed"
    otherwise = f"but {what}; is it the right folder?"
    return DataError(shown(cannot_be_read(error, path, otherwise)))


def unread(error: OSError, path: Path) -> DataError:
    """The error for an image, or a folder of images, that cannot be read."""
    otherwise = "restore it from the data set's source, or remove it"
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return DataError(
            f"{shown(path)}: a broken link, to {shown(path.readlink())}; restore that, or remove "
            f"the link (find {shown(path.parent)} -xtype l lists all of them)"
        )
    return DataError(shown(cannot_be_read(error, path, otherwise)))


def shown(path: Path | str) -> str:
    """A path, or a sentence with one, for a message: bytes that are no UTF-8 and unprintable
    characters are escaped."""
    try:
        content = os.fsencode(path)
    except UnicodeEncodeError:  # half a character, which JSON can hold and no file is named
        content = os.fspath(path).encode(errors="backslashreplace")
    text = content.decode(errors="backslashreplace")
    return "".join(_escaped(text))


def refuse_bytes(path: Path) -> None:
    """Raise a DataError if no recipe can name the path, as it is not UTF-8."""
    try:
        os.path.abspath(path).encode()  # noqa: PTH100 - links stay as the user has them
    except UnicodeEncodeError:
        raise DataError(
            f"{shown(str(path))}: its name is not UTF-8, as recipes are; rename it"
        ) from None


def _escaped(text: str) -> Iterator[str]:
    for sign in text:
        yield sign if sign.isprintable() else sign.encode("unicode_escape").decode()
