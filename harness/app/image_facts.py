"""Facts of a folder of images, for a recipe that fits it: kind, number, size, classes."""

from __future__ import annotations

import hashlib
import os
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import DataError
from harness.imagefolder import (
    SPLITS,
    Found,
    ImageFolder,
    listed_to_leave_out,
    shown,
    splits,
    walk,
)
from harness.inputs import PACK
from harness.keyed_split import class_folders, number_held_out
from harness.recipe.fitted import Facts

LOOKED_AT = 500
"""Images whose size is read; the header of a file says it."""


@dataclass(frozen=True)
class Folder:
    """A folder of images, looked at."""

    facts: Facts
    data: dict[str, Any]
    """The data section of a recipe, without folder and size."""
    notes: tuple[str, ...]
    """What a user should know, in sentences."""

    @property
    def summary(self) -> str:
        """Number, labels and size."""
        facts = self.facts
        labels = (
            "without labels" if facts.smallest_class is None else f"and {facts.tested:,} to test"
        )
        return (
            f"{facts.images:,} images to train {labels}, median short side {facts.side} px "
            f"({facts.looked_at:,} looked at)"
        )


class Counts(NamedTuple):
    """Numbers of images."""

    train: int
    smallest_class: int | None = None
    test: int = 0


def look(folder: Path, split: float | None = None) -> Folder:
    """Look at a folder: with train and val it has classes; else only if `split` says so.

    Args:
        split: the share of each class's images that is to be the test set.

    Raises:
        DataError: no folder of images, or none whose size can be read.
    """
    if (folder / PACK).is_file():
        raise DataError(f"{shown(folder)}: a pack; name the folder that its images came from")
    if split is not None:
        return _of_classes(folder, split)
    if all((folder / each).is_dir() for each in SPLITS):
        train, val = splits(folder)
        sizes = [len(images) for images in train.classes.values()]
        tested = sum(map(len, val.classes.values()))
        found = [image for images in train.classes.values() for image in images]
        facts, notes = _facts(train.path, found, Counts(sum(sizes), min(sizes), tested))
        return Folder(facts, {"name": "imagefolder"}, (*notes, *_passed_over(train, val)))
    whole = walk(folder, {*listed_to_leave_out(folder)}, kind="pictures")
    (found,) = whole.classes.values()
    facts, notes = _facts(folder, found, Counts(len(found)))
    notes += [*_passed_over(whole), *_maybe_classes(folder, found)]
    return Folder(facts, {"name": "pictures"}, tuple(notes))


def _of_classes(folder: Path, split: float) -> Folder:
    whole = class_folders(folder)
    tested = {name: number_held_out(len(each), split) for name, each in whole.classes.items()}
    smallest = min(len(each) - tested[name] for name, each in whole.classes.items())
    found = [image for images in whole.classes.values() for image in images]
    held = sum(tested.values())
    facts, notes = _facts(folder, found, Counts(len(found) - held, smallest, held))
    data = {"name": "imagefolder", "split": split}
    return Folder(facts, data, (*notes, *_passed_over(whole)))


def _facts(folder: Path, found: Sequence[Found], counts: Counts) -> tuple[Facts, list[str]]:
    """(the facts, notes about images that cannot be read). `folder`: what the names are in."""
    chosen = sorted(found, key=lambda image: hashlib.sha256(os.fsencode(image.name)).digest())
    sides, broken = _short_sides(folder, chosen[:LOOKED_AT])
    if not sides:
        raise DataError(f"{shown(folder / broken[0])}: not a readable image, nor are the others")
    notes = []
    if broken:
        notes.append(
            f"{len(broken):,} of {min(LOOKED_AT, len(found)):,} images looked at cannot be read "
            f"({shown(broken[0])}); a run refuses them: find all with moco-harness data check"
        )
    side = int(statistics.median_low(sides))
    facts = Facts(counts.train, side, len(sides), counts.smallest_class, counts.test)
    return facts, notes


def _short_sides(folder: Path, images: Sequence[Found]) -> tuple[list[int], list[str]]:
    """(short sides in pixels, names of those that cannot be read), from the files' headers."""
    from PIL import Image

    sides, broken = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a large image is no news here
        for image in images:
            try:
                with Image.open(folder / image.name) as opened:
                    sides.append(min(opened.size))
            except Exception:  # Pillow's plugins raise errors of any type on damaged files
                broken.append(image.name)
    return sides, broken


def _passed_over(*folders: ImageFolder) -> list[str]:
    return [
        f"{shown(each.path)}: passed over {each.passed_over}"
        for each in folders
        if each.passed_over.counts
    ]


def _maybe_classes(folder: Path, found: Sequence[Found]) -> list[str]:
    """A note if the folder looks like one of class folders: all images lie in two or more folders,
    one level deep."""
    parts = [image.name.split("/") for image in found]
    classes = {each[0] for each in parts}
    if len(classes) < 2 or any(len(each) != 2 for each in parts):
        return []
    return [
        f"{shown(folder)} has {len(classes):,} folders of images; if they are classes, say --split "
        "0.1 to use them as labels"
    ]
