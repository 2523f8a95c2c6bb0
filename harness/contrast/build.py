"""The recipe's mechanism with its encoders at their initial weights."""

from __future__ import annotations

from pathlib import Path

from harness.contrast.end_to_end import EndToEndContrast
from harness.contrast.mechanism import Mechanism
from harness.contrast.memory_bank import BankContrast
from harness.contrast.moco import MoCo
from harness.model.encoder import build
from harness.model.released import load_released
from harness.recipe.schema import Recipe
from harness.runtime.world import World


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
    contrast, dim, seed, precision = (
        recipe.contrast,
        recipe.model.dim,
        recipe.seed,
        recipe.precision,
    )
    if contrast.kind == "moco":
        return MoCo(encoder, contrast, dim=dim, seed=seed, precision=precision, world=world)
    if contrast.kind == "end_to_end":
        return EndToEndContrast(encoder, contrast, seed=seed, precision=precision, world=world)
    return BankContrast(
        encoder, contrast, images=images, dim=dim, seed=seed, precision=precision, world=world
    )
