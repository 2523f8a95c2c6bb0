"""Preconditions of a claim that the recipes alone decide: enough steps, and a small enough K.

Another precondition needs results: a mechanism must be above the untrained control before it is
compared. See `harness.report.decision_rule`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.recipe.method import TIME_CONSTANTS
from harness.recipe.rules import KNOWN_SIZES
from harness.recipe.schema import Recipe
from harness.report.curves import is_number

if TYPE_CHECKING:
    from harness.report.runs import Run

Recipes = Mapping[str, Recipe]
"""Cell -> the recipe of its runs."""

SHARE = 10
"""K may be at most 1/SHARE of the images. With more, the queue still holds old keys of the query's
own image."""


PARTS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 10: "a tenth"}


def part(n: int) -> str:
    """One of n equal parts, as a word if there is one."""
    return PARTS.get(n, f"1/{n}")


def failed(recipes: Recipes, images: Mapping[str, int | None], cells: Sequence[str]) -> list[str]:
    """As text, each precondition that fails for one of these cells; sorted by kind.

    Args:
        images: cell -> number of images that it trains on. If it is not known, the preconditions
            pass.
    """
    few: list[str] = []
    crowded: dict[str, list[str]] = {}
    for cell in cells:
        recipe, there = recipes.get(cell), images.get(cell)
        if recipe is None or not recipe.optim.epochs or there is None:
            continue
        few += _steps(cell, recipe, there)
        negatives = recipe.contrast.old_keys()
        if negatives is not None and negatives * SHARE > there:
            text = f"K = {negatives} exceeds {part(SHARE)} of the {there} images"
            crowded.setdefault(text, []).append(cell)
    return [*few, *(f"{text} ({', '.join(named)})" for text, named in crowded.items())]


def training_images(runs: Sequence[Run]) -> int | None:
    """Number of images that a cell trains on: from its recipe, else from its runs."""
    data = runs[0].recipe.data
    known = data.images or KNOWN_SIZES.get(data.name)
    if known is not None:
        return known
    for run in runs:
        said = run.stages["pretrain"].attempt.get("data")
        found = said.get("train") if isinstance(said, dict) else None
        if isinstance(found, int) and is_number(found):
            return found
    return None


def training_steps(recipe: Recipe, images: int) -> int:
    """Number of steps of pre-training on this many images."""
    optim = recipe.optim
    steps = optim.epochs * (images // optim.batch)
    return min(steps, optim.steps or steps)


def _steps(cell: str, recipe: Recipe, images: int) -> list[str]:
    steps, needed = training_steps(recipe, images), recipe.contrast.steps_needed()
    if steps >= needed:
        return []
    return [
        f"{cell} makes {steps} steps, and m = {getattr(recipe.contrast, 'momentum', 0):g} needs "
        f"{needed:.0f}, {TIME_CONSTANTS} / (1 - m)"
    ]
