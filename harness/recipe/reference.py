"""The papers' settings as recipes to compare with: a table's cells, and MoCo v1 and v2."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import RecipeError
from harness.recipe.ablation import Ablation, Curve
from harness.recipe.expand import expand
from harness.recipe.find import shipped
from harness.recipe.identity import stage_id
from harness.recipe.load import load_ablation, load_recipe, load_scale
from harness.recipe.schema import Recipe
from harness.recipe.suggest import printable
from harness.recipe.yaml_source import display

PAPERS = {
    "v1": ("moco_v1_imagenet", "8a34542951"),
    "v2": ("moco_v2_imagenet", "f725d407ee"),
}
"""Paper -> the shipped recipe with its settings, and the hash at the end of its linear probe's id.
A different hash shows that the file was edited after it was shipped."""


@dataclass(frozen=True)
class References:
    """Recipes to compare with."""

    recipes: dict[str, Recipe] = field(default_factory=dict)
    """Cell of a table, or paper -> its recipe."""
    mistakes: tuple[str, ...] = ()
    """What is wrong with the files that should hold the recipes, one line per mistake."""

    @property
    def warnings(self) -> list[str]:
        """The mistakes as a report tells them."""
        what = "A reference recipe of the papers' settings is wrong"
        return [f"{what}: {each}" for each in self.mistakes]


def reference_recipes(ablation: Ablation, path: Path) -> References:
    """The cells' recipes, by cell id, at the scale of the printed numbers.

    They come from `ablation_NAME.yaml`, beside the ablation recipe `path` or shipped: the first
    file for this table at the level of its printed numbers. There may be none, as for an ablation
    without a paper. Of a variant, the cells have them whose number the paper printed: NAME is then
    the paper's own table, and the cell is the one with this number.
    """
    if not ablation.of_paper:
        return References()
    name = f"ablation_{ablation.variant_of or ablation.name}.yaml"
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
        if scale.level != ablation.printed_at or expansion.ablation is None:
            continue
        recipes = {m.cell: m.recipe for m in expansion.members}
        theirs = expansion.ablation
        if ablation.variant_of == theirs.name and ablation.numbers == theirs.numbers:
            named = _same_numbers(ablation, theirs)
        elif theirs == ablation:
            named = {cell.id: cell.id for cell in ablation.cells}
        else:
            continue
        own = {cell: recipes[there] for cell, there in named.items() if there in recipes}
        return References(own, tuple(mistakes))
    return References(mistakes=tuple(mistakes))


def _same_numbers(variant: Ablation, whole: Ablation) -> dict[str, str]:
    """Cell -> the cell of the whole table with its printed number, if there is one such cell."""
    found = {}
    for cell in variant.cells:
        alike = [each.id for each in whole.cells if each.printed == cell.printed is not None]
        if len(alike) == 1:
            found[cell.id] = alike[0]
    return found


def printed_curves(named: str) -> tuple[Curve, ...]:
    """The curves of `named`, TABLE.CELL of the shipped tables.

    Raises:
        RecipeError: there is no such table, or it has no curve of the cell.
    """
    name, _, cell = named.partition(".")
    file = shipped("ablations") / f"{name}.yaml"
    found: tuple[Curve, ...] = ()
    if file.is_file():
        found = load_ablation(file).curves
    found = tuple(curve for curve in found if curve.cell == cell)
    if not found:
        raise RecipeError(f"about.curves: {printable(named)}: no table with curves of such a cell")
    return found


@functools.cache
def papers() -> References:
    """The papers' pre-training on ImageNet-1M as recipes, by the papers' names in PAPERS."""
    recipes: dict[str, Recipe] = {}
    mistakes: list[str] = []
    for paper, (name, shipped_as) in PAPERS.items():
        file = shipped("recipes") / f"{name}.yaml"
        try:
            recipes[paper] = load_recipe(file)
        except (OSError, RecipeError) as error:
            mistakes += str(error).splitlines()
            continue
        if not stage_id(recipes[paper], "linear").endswith(f"-{shipped_as}"):
            mistakes.append(
                f"{display(file)}: changed, so no longer the recipe of MoCo {paper}; save your "
                "version under another name, and restore the shipped file"
            )
    return References(recipes, tuple(mistakes))
