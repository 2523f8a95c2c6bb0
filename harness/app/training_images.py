"""Number of training images in a recipe's folder, and the fields that ask for more."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Set
from pathlib import Path

from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.imagefolder import Kind, left_out, listed_to_leave_out, shown, walk
from harness.inputs import FEW, PACK
from harness.keyed_split import number_held_out
from harness.preflight.sizes import Size
from harness.recipe.evaluation import Knn
from harness.recipe.rules import KNOWN_SIZES, beyond_images, beyond_labels, too_many
from harness.recipe.schema import Data, Recipe


def too_few_images(recipes: Iterable[Recipe], root: AnyRoot) -> list[str]:
    """Fields that ask for more images than their folder under the data root has, with what is
    wrong. A folder that is absent, or too large to be counted quickly, is skipped: a run checks
    it."""
    count = functools.cache(lambda data: training_size(root / data.folder, data))
    found: dict[str, None] = {}
    for recipe in recipes:
        for folder, field, why in _beyond(recipe, count):
            found[f"{field}: {why} ({shown(root / folder)})"] = None
    return list(found)


def _beyond(recipe: Recipe, count: Callable[[Data], Size | None]) -> Iterator[tuple[str, str, str]]:
    """(folder, field, message)."""
    if (folder := recipe.data.folder) is not None:
        size = count(recipe.data)
        images = size.images if size else None
        for field, why in (
            *too_many("data", recipe.data, images),
            *beyond_images(recipe.data, recipe.knn, images, batch=recipe.optim.batch),
        ):
            yield folder, field, why
    for name, said in recipe.tasks.items():
        data = said.data or recipe.data
        size = count(data) if data.folder is not None else None
        if size is not None:
            for field, why in beyond_labels(name, said, data, size):
                yield data.folder or data.name, field, why
            if said.data is not None:
                for field, why in too_many(f"tasks.{name}.data", data, size.images):
                    yield data.folder or data.name, field, why
        if isinstance(said, Knn):
            known = size.images if size else KNOWN_SIZES.get(data.name)
            for field, why in beyond_images(data, said, known):
                yield data.folder or data.name, f"tasks.{name}.{field.removeprefix('knn.')}", why


def training_images(place: Path, data: Data | None = None) -> int | None:
    """The number of training images in the folder; see `training_size`."""
    found = training_size(place, data)
    return found.images if found else None


def training_size(place: Path, data: Data | None = None) -> Size | None:
    """The numbers of images and classes in PLACE/train, in a pack, or in a folder without train and
    val; None if they cannot be found quickly.

    Args:
        data: the recipe's section about the folder; None: of an image folder.
    """
    try:
        if data is None or (data.split is None and data.labelled):
            if (place / PACK).is_file():
                said = json.loads((place / PACK).read_bytes())
                return Size(int(said["splits"]["train"]["images"]), len(said.get("classes", ())))
            return _counted(place / "train", left_out(place)["train"], "split")
        kind: Kind = "pictures" if not data.labelled else "classes"
        return _counted(place, {*listed_to_leave_out(place)}, kind, data.split)
    except (DataError, OSError, LookupError, TypeError, ValueError, RecursionError):
        return None  # the stage that reads it reports the error


def _counted(place: Path, without: Set[str], kind: Kind, split: float | None = None) -> Size | None:
    left = FEW

    def spared(name: str) -> bool:
        nonlocal left
        for _, folders, files in os.walk(place / name, followlinks=True):
            left -= 1 + len(folders) + len(files)
            if left < 0:
                break
        return left < 0

    found = walk(place, without, spared, kind)
    trained = [len(each) for each in found.classes.values()]
    trained = [each - number_held_out(each, split) for each in trained] if split else trained
    images = sum(trained)
    return None if left < 0 or not images else Size(images, len(trained), min(trained))
