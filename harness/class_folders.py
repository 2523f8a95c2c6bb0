"""A folder of test images whose classes are all or some of a training set's, matched by name."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from harness.errors import DataError
from harness.imagefolder import shown, some, unread, walk


def matched(tested: Sequence[str], classes: Sequence[str], folder: Path) -> list[int]:
    """The training class of each class folder of the test images, by its name.

    Folders that are all called by numbers, as ImageNet-V2's 0 to 999, are indices of the sorted
    training classes; then there is one for each of them.

    Args:
        tested: names of the class folders in `folder`.
        classes: the training classes, sorted.

    Raises:
        DataError: a name is none of the training classes, or an index has none.
    """
    number = {name: n for n, name in enumerate(classes)}
    if all(name.isdecimal() for name in tested) and not number.keys() & set(tested):
        found = sorted(map(int, tested))
        if found != list(range(len(classes))):
            raise DataError(
                f"data.test: {shown(folder)}: its class folders have numbers as names ({found[0]} "
                f"to {found[-1]}, {len(found):,} of them), which are indices of classes only if "
                f"they are 0 to {len(classes) - 1:,}, one for each of the {len(classes):,} "
                "training classes; name the training images that belong to them, or rename the "
                "folders as theirs"
            )
        return [int(name) for name in tested]
    if unknown := sorted(name for name in tested if name not in number):
        raise DataError(
            f"data.test: {shown(folder)}: {len(unknown):,} of its {len(tested):,} classes are not "
            f"training classes ({some(unknown)}); there are {some(classes)}; rename the folders "
            "to match, or name the folder that contains the class folders"
        )
    return [number[name] for name in tested]


def check(train: Path, test: Path) -> None:
    """Check by the folders' names alone, before anything runs, that the classes match.

    Args:
        train: the image folder, or a pack, of the training images.
        test: the folder of the test images.

    Raises:
        DataError: see `matched`; or there are no class folders, or they cannot be read.
    """
    pack = train / "pack.json"
    if pack.is_file():
        try:
            classes = [str(name) for name in json.loads(pack.read_bytes())["classes"]]
        except (OSError, LookupError, TypeError, ValueError):
            return  # the stage that opens it reports the error
    else:
        classes = _folders(train / "train")
    tested = _folders(test)
    if not tested:
        raise DataError(
            f"data.test: {shown(test)}: no class folders in it; expected <class>/<image>.jpg there"
        )
    try:
        matched(tested, classes, test)
    except DataError:  # perhaps for folders that a run passes over; to find them takes longer
        if not pack.is_file():
            classes = list(walk(train / "train").classes)
        matched(list(walk(test).classes), classes, test)


def _folders(place: Path) -> list[str]:
    try:
        with os.scandir(place) as entries:
            found = [e.name for e in entries if not e.name.startswith(".") and _is_folder(e)]
    except OSError as error:
        raise unread(error, place) from error
    return sorted(found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
