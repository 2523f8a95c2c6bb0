"""The papers' settings as recipes, to hold others against: a table's cells, and MoCo v1 and v2."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import RecipeError
from harness.recipe.ablation import Ablation
from harness.recipe.expand import expand
from harness.recipe.find import shipped
from harness.recipe.load import load_recipe, load_scale
from harness.recipe.schema import Recipe

PAPERS = {"v1": "moco_v1_imagenet", "v2": "moco_v2_imagenet"}
"""Paper -> the shipped recipe that has its settings."""


@dataclass(frozen=True)
class References:
    """An ablation's cells as they are at the scale of the printed numbers."""

    recipes: dict[str, Recipe] = field(default_factory=dict)
    """Cell id -> recipe; {}: there is no recipe of this table at that scale."""
    mistakes: tuple[str, ...] = ()
    """Why files that may hold them could not be read, a line for each mistake."""


def reference_recipes(ablation: Ablation, path: Path) -> References:
    """The cells' recipes in `ablation_NAME.yaml`, beside the ablation recipe `path` or as shipped:
    the first file that is of this table and of the level that it was printed at."""
    name = f"ablation_{ablation.name}.yaml"
    mistakes: list[str] = []
    for file in dict.fromkeys((path.parent / name, shipped("recipes") / name)):
        try:
            if not file.is_file():
                continue
            scale = load_scale(file)
            expansion = expand(scale, file)
        except (OSError, RecipeError) as error:
            mistakes += str(error).splitlines()
            continue
        if scale.level == ablation.printed_at and expansion.ablation == ablation:
            own = {cell.id for cell in ablation.cells}
            recipes = {m.cell: m.recipe for m in expansion.members if m.cell in own}
            return References(recipes, tuple(mistakes))
    return References(mistakes=tuple(mistakes))


@functools.cache
def papers_recipes() -> dict[str, Recipe]:
    """Paper -> its pre-training on ImageNet-1M as a recipe.

    Raises:
        RecipeError: a shipped recipe is absent or wrong.
    """
    return {
        paper: load_recipe(shipped("recipes") / f"{name}.yaml") for paper, name in PAPERS.items()
    }
