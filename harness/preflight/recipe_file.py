"""The warnings of a recipe, or of an ablation recipe with all its cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness.preflight import claims, evaluation, training
from harness.preflight.sizes import Count, nothing_at_hand, training_images
from harness.preflight.warned import Doubt, Preflight, gathered
from harness.recipe.ablation import Scale
from harness.recipe.expand import Expansion
from harness.recipe.schema import Recipe
from harness.report.measures import COSTS

QUEUE = "contrast.queue"


def of_recipe(recipe: Recipe, count: Count = nothing_at_hand) -> Preflight:
    """The warnings of a single recipe."""
    found = _doubts(recipe, count, given_queue=False)
    return gathered(((doubt, "") for doubt in found), recipe.about.accept)


def of_scale(
    scale: Scale, expansion: Expansion, path: Path, count: Count = nothing_at_hand
) -> Preflight:
    """The warnings of an ablation recipe, each once for all cells that it concerns. A table of
    costs has only those about its claims, as it judges no features.

    Args:
        path: the file it was read from.
    """

    def each() -> Iterator[tuple[Doubt, str]]:
        for doubt in claims.doubts(scale, expansion, path, count):
            yield doubt, ""
        if scale.metric in COSTS:
            return
        for name, recipe in claims.in_table(expansion).items():
            cell = expansion.ablation.cell(name)
            given = cell is not None and QUEUE in (cell.set or {})
            own = QUEUE in scale.set_cells.get(name, {})
            for doubt in _doubts(recipe, count, given_queue=given and not own):
                yield doubt, name

    found = gathered(each(), scale.about.accept)
    return replace(found, power=claims.power(scale, expansion, path, count))


def _doubts(recipe: Recipe, count: Count, *, given_queue: bool) -> Iterator[Doubt]:
    images = training_images(recipe.data, count)
    yield from training.doubts(recipe, images, given_queue=given_queue)
    yield from evaluation.doubts(recipe, count)
