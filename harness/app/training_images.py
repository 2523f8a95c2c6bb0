"""Number of training images in a recipe's folder, and the fields that ask for more."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.imagefolder import left_out, shown, walk
from harness.inputs import FEW, PACK
from harness.recipe.evaluation import Knn
from harness.recipe.rules import KNOWN_SIZES, beyond_images
from harness.recipe.schema import Recipe


def wanted_beyond(recipes: Iterable[Recipe], root: AnyRoot) -> list[str]:
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
        if isinstance(said, Knn):
            known = count(data.folder) if data.folder is not None else KNOWN_SIZES.get(data.name)
            for field, why in beyond_images(data, said, known):
                yield data.folder or data.name, f"tasks.{name}.{field.removeprefix('knn.')}", why


def training_images(place: Path) -> int | None:
    """The number of images in PLACE/train or in a pack; None if it cannot be found quickly."""
    try:
        if (place / PACK).is_file():
            return int(json.loads((place / PACK).read_bytes())["splits"]["train"]["images"])
        return _counted(place) or None
    except (DataError, OSError, LookupError, TypeError, ValueError, RecursionError):
        return None  # the stage that reads it reports the error


def _counted(place: Path) -> int | None:
    left = FEW

    def spared(name: str) -> bool:
        nonlocal left
        for _, folders, files in os.walk(place / "train" / name, followlinks=True):
            left -= 1 + len(folders) + len(files)
            if left < 0:
                break
        return left < 0

    found = walk(place / "train", left_out(place)["train"], spared)
    return None if left < 0 else sum(map(len, found.classes.values()))
