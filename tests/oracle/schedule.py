"""The learning rate of an epoch. Epochs are counted from 0 and the rate is set once per epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence


def constant(lr: float, epoch: int) -> float:
    """The rate stays."""
    del epoch
    return lr


def steps(lr: float, epoch: int, drops: Sequence[int], factor: float = 0.1) -> float:
    """Times the factor for each drop reached (v1: x0.1 at 120 and 160; code: epoch >= drop)."""
    for drop in drops:
        if epoch >= drop:
            lr = lr * factor
    return lr


def cosine(lr: float, epoch: int, epochs: int, first: int = 0) -> float:
    """lr * (1 + cos(pi * e / epochs)) / 2; the first epoch is e = 0 (code) or e = 1 (demo)."""
    return lr * 0.5 * (1.0 + math.cos(math.pi * (epoch + first) / epochs))
