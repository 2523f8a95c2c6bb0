"""The learning rate, set once per epoch as the official code does (main_moco.py)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.recipe.schema import Schedule


def rate(schedule: Schedule, lr: float, epoch: int, epochs: int) -> float:
    """The rate during `epoch` (counted from 0) of `epochs`, from the rate `lr` at the start."""
    if schedule.kind == "constant":
        return lr
    if schedule.kind == "step":
        return lr * stepped(schedule.drops, schedule.factor, epoch)
    return lr * 0.5 * (1 + math.cos(math.pi * (epoch + schedule.first) / epochs))


def stepped(drops: Sequence[int], factor: float, epoch: int) -> float:
    """`factor` to the power of the drops that `epoch` has reached (all counted from 0)."""
    return factor ** sum(epoch >= drop for drop in drops)
