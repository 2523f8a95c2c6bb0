"""How many images and classes a recipe's data have, as far as this is known before they are
opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from harness.recipe.rules import CLASSES, KNOWN_SIZES, STL10_LABELLED
from harness.recipe.task import Data
from harness.report.recipe_facts import IMAGENET_FOLDERS


class Size(NamedTuple):
    """A training set's numbers."""

    images: int
    classes: int
    smallest: int | None = None
    """Images of the smallest class; None: not known."""


Count = Callable[[Data], Size | None]
"""Counts the folder of a data section; None: it is not there, or too large to be counted."""

IMAGENET = Size(1_281_167, 1_000)
"""ImageNet-1M, for a folder of that name that is not at hand."""


def nothing_at_hand(data: Data) -> None:
    """A Count for when there is no data root."""
    del data


def training_images(data: Data, count: Count) -> int | None:
    """The number of images of pre-training; None: not known."""
    if data.images is not None:
        return data.images
    size = _of_folder(data, count)
    return size.images if size else KNOWN_SIZES.get(data.name)


def labelled_images(data: Data, count: Count) -> int | None:
    """The number of labelled images that kNN and the linear probe learn from; None: not known."""
    return STL10_LABELLED if data.name == "stl10" else training_images(data, count)


def classes(data: Data, count: Count) -> int | None:
    """The number of classes; None: not known."""
    size = _of_folder(data, count)
    return size.classes if size else CLASSES.get(data.name)


def _of_folder(data: Data, count: Count) -> Size | None:
    if data.folder is None:
        return None
    name = data.folder.rstrip("/").rpartition("/")[2].lower()
    return count(data) or (IMAGENET if name in IMAGENET_FOLDERS else None)
