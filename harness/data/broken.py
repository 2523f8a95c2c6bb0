"""Broken images of an image folder or a pack: find all of them, and leave them out if asked.

The folder's broken.txt lists the images that are left out. Every run and pack of the folder reads
and records it. To restore an image, remove its line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data.datasets import files_of, omitted, without
from harness.data.images import Encoded, Files, broken_text
from harness.data.packed import is_packed, open_packed
from harness.data.whole_folder import all_pictures
from harness.errors import DataError
from harness.imagefolder import LEFT_OUT, SPLITS, listed_to_leave_out, shown, splits, walk
from harness.store import atomic

Tell = Callable[[str, int, int], object]
"""Called with (what is being done, images done, images in all)."""


@dataclass(frozen=True)
class DecodedFolder:
    """An image folder, or a pack, all of whose images were decoded."""

    folder: Path
    images: int
    broken: dict[str, str]
    """Path in the folder of each broken image, such as train/<class>/<image> -> the error."""
    mend: str
    remarks: tuple[str, ...] = ()
    """Files in the folder that no run uses, in sentences."""

    @property
    def message(self) -> str:
        """How many are broken, the first ten, and what to do."""
        return broken_text(
            dict(enumerate(self.broken.values())), self.images, self.images, self.mend
        )


def check(folder: Path, tell: Tell) -> DecodedFolder:
    """Decode every image of `folder`: of train and val if it has both of them, else all at any
    depth.

    Raises:
        DataError: it is neither an image folder nor a complete pack.
    """
    parts: Mapping[str, Encoded]
    if is_packed(folder):
        pack = open_packed(folder)
        parts = {"train": pack.train, "val": pack.val}
        remarks = without(shown(folder), pack.left_out)
    elif all((folder / split).is_dir() for split in SPLITS):
        folders = splits(folder)
        parts = dict(zip(SPLITS, map(files_of, folders), strict=True))
        remarks = omitted(shown(folder), folders)["remarks"]
    else:
        whole = walk(folder, {*listed_to_leave_out(folder)}, kind="pictures")
        parts = {"all": all_pictures(whole)}
        remarks = omitted(shown(folder), [whole], splits=False)["remarks"]
    return replace(look_through(folder, parts, tell), remarks=remarks)


def look_through(folder: Path, parts: Mapping[str, Encoded], tell: Tell) -> DecodedFolder:
    """Decode every image of the splits."""
    broken: dict[str, str] = {}
    for split, images in parts.items():
        broken |= _broken(folder, split, images, tell)
    mend = next(iter(parts.values())).mend
    return DecodedFolder(folder, sum(map(len, parts.values())), broken, mend)


def _broken(folder: Path, split: str, images: Encoded, tell: Tell) -> dict[str, str]:
    found: dict[int, str] = {}
    images.decode_all(found, lambda done: tell(f"decoding {split}", done, len(images)))
    return {_name(folder, split, images, i): found[i] for i in sorted(found)}


def _name(folder: Path, split: str, images: Encoded, i: int) -> str:
    if isinstance(images, Files):
        return str(images.paths[i].relative_to(folder))
    return f"{split} {i}"


def leave_out(checked: DecodedFolder) -> Path:
    """Add the broken images to the folder's broken.txt, and return its path.

    Raises:
        DataError: the folder is a pack, a name contains a line break, or the list cannot be read.
        StoreError: the folder cannot be written.
    """
    path = Path(os.path.realpath(checked.folder / LEFT_OUT))  # several sets may share a list
    if is_packed(checked.folder):
        raise DataError(f"{shown(checked.folder)}: a pack; pack its images again to leave some out")
    names = sorted(map(os.fsencode, checked.broken))
    for name in names:
        if name.splitlines() != [name]:
            raise DataError(
                f"{shown(os.fsdecode(name))}: its name contains a line break; rename it"
            )
    try:
        before = atomic.content(path) if path.exists() else b"# Left out of every run and pack.\n"
    except OSError as error:
        raise atomic.unread(error, path) from error
    lines = [*before.splitlines(), *names]
    atomic.write(path, lambda file: file.write(b"\n".join(lines) + b"\n"))
    return path
