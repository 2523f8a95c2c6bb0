"""Number of training images in a recipe's folder, and the fields that ask for more."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness.errors import DataError
from harness.imagefolder import left_out, shown, walk
from harness.inputs import FEW, PACK
from harness.preflight.sizes import Size
from harness.recipe.evaluation import Knn
from harness.recipe.rules import beyond_images
from harness.recipe.schema import Recipe


def wanted_beyond(recipes: Iterable[Recipe], root: Path) -> list[str]:
    """Fields that ask for more images than their folder under the data root has, with what is
    wrong. A folder that is absent, or too large to be counted quickly, is skipped: a run checks
    it."""
    count = functools.cache(lambda folder: training_images(root / folder))
    found: dict[str, None] = {}
    for recipe in recipes:
        for folder, field, why in _beyond(recipe, count):
            found[f"{field}: {why} ({shown(root / folder)})"] = None
    return list(found)


def _beyond(recipe: Recipe, count: Callable[[str], int | None]) -> Iterator[tuple[str, str, str]]:
    """(folder, field, message)."""
    if (folder := recipe.data.folder) is not None:
        images = count(folder)
        for field, why in beyond_images(recipe.data, recipe.knn, images, batch=recipe.optim.batch):
            yield folder, field, why
    for name, said in recipe.tasks.items():
        data = said.data or recipe.data
        if isinstance(said, Knn) and data.folder is not None:
            for field, why in beyond_images(data, said, count(data.folder)):
                yield data.folder, f"tasks.{name}.{field.removeprefix('knn.')}", why


def training_images(place: Path) -> int | None:
    """The number of images in PLACE/train or in a pack; None if it cannot be found quickly."""
    found = training_size(place)
    return found.images if found else None


def training_size(place: Path) -> Size | None:
    """The numbers of images and classes in PLACE/train or in a pack; None as above."""
    try:
        if (place / PACK).is_file():
            said = json.loads((place / PACK).read_bytes())
            return Size(int(said["splits"]["train"]["images"]), len(said.get("classes", ())))
        return _counted(place)
    except (DataError, OSError, LookupError, TypeError, ValueError, RecursionError):
        return None  # the stage that reads it reports the error


def _counted(place: Path) -> Size | None:
    left = FEW

    def spared(name: str) -> bool:
        nonlocal left
        for _, folders, files in os.walk(place / "train" / name, followlinks=True):
            left -= 1 + len(folders) + len(files)
            if left < 0:
                break
        return left < 0

    found = walk(place / "train", left_out(place)["train"], spared)
    images = sum(map(len, found.classes.values()))
    return None if left < 0 or not images else Size(images, len(found.classes))
