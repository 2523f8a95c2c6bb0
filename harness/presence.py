"""Whether the data lie where a run would look for them: a glance at names, no file is opened."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from harness.recipe.schema import Recipe

DOWNLOADED = {  # torchvision unpacks the archive into the folder; either will do
    "cifar10": ("cifar-10-batches-py", "cifar-10-python.tar.gz", "170 MB"),
    "cifar100": ("cifar-100-python", "cifar-100-python.tar.gz", "170 MB"),
    "stl10": ("stl10_binary", "stl10_binary.tar.gz", "2.6 GB"),
}
"""By data set: its folder, its archive and the archive's size."""


class Presence(NamedTuple):
    """One data set, or one file of weights, as a plan speaks of it."""

    there: bool
    says: str


def look_for(recipes: Iterable[Recipe], root: Path) -> list[Presence]:
    """What the recipes need under the data root, each once; nothing for embedded images.

    What is there may still be incomplete: a run verifies it.
    """
    found: dict[Presence, None] = {}
    for recipe in recipes:
        found.update(dict.fromkeys(_needs(recipe, root)))
    return list(found)


def _needs(recipe: Recipe, root: Path) -> Iterable[Presence]:
    data, weights = recipe.data, recipe.model.weights
    if data.name in DOWNLOADED:
        folder, archive, size = DOWNLOADED[data.name]
        if (root / folder).is_dir() or (root / archive).is_file():
            yield Presence(True, f"data: {data.name} in {root}")
        else:
            yield Presence(
                False,
                f"data missing: {data.name} is not in {root}; run downloads it ({size}), or say "
                "with --data where it lies",
            )
    elif data.folder is not None:
        lacking = [part for part in ("train", "val") if not (root / data.folder / part).is_dir()]
        if lacking:
            yield Presence(
                False,
                f"data missing: no {' and no '.join(lacking)} in {root / data.folder}; say with "
                "--data where the data root is",
            )
        else:
            yield Presence(True, f"data: {root / data.folder}")
    if weights is not None and not (root / weights.file).is_file():
        yield Presence(False, f"weights missing: {root / weights.file}; download them there")
