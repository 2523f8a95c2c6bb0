"""How a linear probe's accuracy was measured, in a few words that stand beside the number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.recipe.knn_words import Trained, data_words

VIEWS = {"random_crop": "random crops", "center": "centre crops"}


def linear_words(linear: Mapping[str, Any], data: Mapping[str, Any], trained: Trained) -> str:
    """E.g. "100 epochs, batch 256, lr 30 (as sensitivity also 10, 1), random crops of cifar10".

    Args:
        linear: the protocol, as a recipe's `linear`.
        data: the data with the training images, as a recipe's `data`.
    """
    del trained
    decay = _first("weight decay", linear["weight_decay"]) if any(linear["weight_decay"]) else ""
    parts = [
        f"{linear['epochs']} epochs",
        f"batch {linear['batch']}",
        _first("lr", linear["lr"]),
        decay,
        f"{VIEWS[linear['views']]} of {data_words(data)}",
    ]
    return ", ".join(filter(None, parts))


def _first(name: str, values: list[float]) -> str:
    """The value that gives the result, and those that only show sensitivity."""
    others = ", ".join(f"{each:g}" for each in values[1:])
    return f"{name} {values[0]:g}" + (f" (as sensitivity also {others})" if others else "")
