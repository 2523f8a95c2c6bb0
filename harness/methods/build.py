"""The recipe's mechanism with its encoders at their initial weights."""

from __future__ import annotations

from pathlib import Path

from harness.methods.mechanism import Mechanism
from harness.model.encoder import build
from harness.model.released import load_released
from harness.recipe.schema import Recipe
from harness.runtime.world import World
from harness.spec.declarations import load
from harness.spec.registry import methods


def build_mechanism(recipe: Recipe, *, images: int, world: World, data_root: Path) -> Mechanism:
    """The mechanism that the recipe's `contrast` names; `images` is what the epoch holds.

    Raises:
        DataError: the recipe's given weights are missing, others than it says, or do not fit.
    """
    encoder = build(recipe.model, recipe.seed)
    if recipe.model.weights is not None:
        load_released(
            encoder,
            recipe.model.weights,
            data_root,
            head=recipe.knn.layer == "output" or recipe.optim.epochs > 0,
            source=recipe.about.source,
        )
    build_method = load(methods()[recipe.contrast.kind].build)
    made: Mechanism = build_method(recipe, encoder, images=images, world=world)
    return made
