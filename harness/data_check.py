"""Whether the data are where a run would read them. Only names are checked, no file is opened."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from harness.errors import cannot_be_read
from harness.recipe.schema import Data, Recipe

DOWNLOADED = {  # torchvision unpacks the archive into the folder; one of the two is enough
    "cifar10": ("cifar-10-batches-py", "cifar-10-python.tar.gz", "170 MB"),
    "cifar100": ("cifar-100-python", "cifar-100-python.tar.gz", "170 MB"),
    "stl10": ("stl10_binary", "stl10_binary.tar.gz", "2.6 GB"),
}
"""Data set -> its folder, its archive and the archive's size."""


class DataCheck(NamedTuple):
    """One data set or one file of weights, as a plan reports it."""

    there: bool
    says: str
    comes: bool = False
    """Whether a run downloads it."""


def check_data(recipes: Iterable[Recipe], root: Path) -> list[DataCheck]:
    """The data that the recipes need under the data root, each once; none for embedded images.

    Data that are present may still be incomplete: a run verifies them.
    """
    found: dict[DataCheck, None] = {}
    for recipe in recipes:
        found.update(dict.fromkeys(_needs(recipe, root)))
    return list(found)


def _needs(recipe: Recipe, root: Path) -> Iterable[DataCheck]:
    try:
        yield from _looked_for(recipe, root)
    except OSError as error:
        path = Path(error.filename or root)
        yield DataCheck(False, f"data: {cannot_be_read(error, path)}")


def _looked_for(recipe: Recipe, root: Path) -> Iterable[DataCheck]:
    weights = recipe.model.weights
    for data in dict.fromkeys(
        (recipe.data, *(said.data or recipe.data for said in recipe.tasks.values()))
    ):
        yield from _data(data, root)
    if weights is not None and weights.file is not None and not (root / weights.file).is_file():
        yield DataCheck(
            False, f"weights missing: {root / weights.file}; download the file to this path"
        )


def _data(data: Data, root: Path) -> Iterable[DataCheck]:
    if data.name in DOWNLOADED:
        folder, archive, size = DOWNLOADED[data.name]
        if (root / folder).is_dir() or (root / archive).is_file():
            yield DataCheck(True, f"data: {data.name} in {root}")
        else:
            lacks = f"data missing: {data.name} is not in {root}"
            if _may_write(root):
                says = f"{lacks}; `run` downloads it ({size}), or name its folder with --data"
                yield DataCheck(False, says, comes=True)
            else:
                yield DataCheck(
                    False, f"{lacks}, which is not writable; name its folder with --data"
                )
    elif data.folder is not None and (data.split is not None or not data.labelled):
        place = root / data.folder
        if place.is_dir():
            yield DataCheck(True, f"data: {place}")
        else:
            yield DataCheck(
                False, f"data missing: no folder {place}; name the data root with --data"
            )
    elif data.folder is not None:
        lacking = [part for part in ("train", "val") if not (root / data.folder / part).is_dir()]
        if lacking:
            yield DataCheck(
                False,
                f"data missing: no {' and no '.join(lacking)} in {root / data.folder}; name the "
                "data root with --data",
            )
        else:
            yield DataCheck(True, f"data: {root / data.folder}")


def _may_write(root: Path) -> bool:
    """Whether the folder can be written, or created."""
    place = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
