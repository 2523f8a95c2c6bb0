"""Build the recipe's mechanism on an encoder with its initial weights."""

from __future__ import annotations

from harness.methods.mechanism import Mechanism
from harness.model.encoder import Encoder
from harness.recipe.schema import Recipe
from harness.runtime.world import World
from harness.spec.declarations import load
from harness.spec.registry import methods


def build_mechanism(recipe: Recipe, encoder: Encoder, *, images: int, world: World) -> Mechanism:
    """The mechanism that the recipe's `contrast` names; `images`: number of training images."""
    build_method = load(methods()[recipe.contrast.kind].build)
    made: Mechanism = build_method(recipe, encoder, images=images, world=world)
    return made
