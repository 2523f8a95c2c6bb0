"""Bytes that each of W processes sends in a step, in closed form."""

from __future__ import annotations

from harness.recipe.schema import Recipe

FLOAT = 4


def sent(recipe: Recipe, processes: int, parameters: int) -> dict[str, float]:
    """By collective, the bytes that one of `processes` sends in a step of the recipe.

    With n = batch / W images per process, 3 S^2 numbers per image, C per key, P parameters: the
    shuffle sends each image once, except the share 1/W that stays. A gather of keys sends n C to
    each of W - 1 others. The gradients' mean sends each other rank its part of P, and the rank's
    own part of the sum to all. A gathered gradient sends as much as the gather. `World.moved`
    counts the same; for the gradients also the gaps between merged tensors.

    Args:
        parameters: numbers that receive a gradient.
    """
    n = recipe.optim.batch / processes
    others = processes - 1
    views = 2 if getattr(recipe.contrast, "symmetric", False) else 1
    image = 3 * recipe.data.size**2 * FLOAT
    keys = n * recipe.model.dim * FLOAT * others
    found = {"gradients": 2 * parameters * FLOAT * others / processes}
    if getattr(recipe.contrast, "shuffle", False):
        found["shuffle"] = views * n * image * others / processes
    return found | recipe.contrast.sent(keys, round(n), others)
