"""The interval over draws of the labelled images, for one network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import stdev

LEVEL = 0.95


def half_width(values: Sequence[float]) -> float:
    """Half width of the 95 % t interval of the mean of `values`, two or more.

    It says how much the draw of the images matters for one network. It is no interval over seeds:
    another pre-training may lie outside.
    """
    from scipy.special import stdtrit

    n = len(values)
    return float(stdtrit(n - 1, (1 + LEVEL) / 2)) * stdev(values) / math.sqrt(n)
