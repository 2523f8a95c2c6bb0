"""Build the recipe's mechanism on an encoder with its initial weights."""

from __future__ import annotations

from torch import Tensor

from harness.methods.mechanism import Mechanism
from harness.model.encoder import Encoder
from harness.recipe.schema import Recipe
from harness.runtime.world import World
from harness.spec.declarations import load
from harness.spec.registry import methods


def build_mechanism(recipe: Recipe, encoder: Encoder, *, labels: Tensor, world: World) -> Mechanism:
    """The mechanism that the recipe's `contrast` names; `labels`: those of the training
    images, int64 (images,), -1 where there is none."""
    build_method = load(methods()[recipe.contrast.kind].build)
    made: Mechanism = build_method(recipe, encoder, labels=labels, world=world)
    return made
