"""The learning rate, set once per epoch as the official code does (main_moco.py)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.recipe.optim import Schedule


def rate(schedule: Schedule, lr: float, epoch: int, epochs: int, step: int = 0) -> float:
    """The learning rate at `step` of `epoch` of `epochs`, counted from 0; `lr` is the initial rate.

    Only a decay depends on the step; the other schedules are constant within an epoch.
    """
    if schedule.kind == "constant":
        return lr
    if schedule.kind == "step":
        return lr * stepped(schedule.drops, schedule.factor, epoch)
    if schedule.kind == "decay":
        return lr * schedule.factor ** (step // schedule.every)
    done, whole = epoch - schedule.start, epochs - schedule.start
    return lr * 0.5 * (1 + math.cos(math.pi * (done + schedule.first) / whole)) if done >= 0 else lr


def stepped(drops: Sequence[int], factor: float, epoch: int) -> float:
    """`factor` to the power of the drops that `epoch` has reached (all counted from 0)."""
    return factor ** sum(epoch >= drop for drop in drops)
