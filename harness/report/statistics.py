"""Means, deviations and t confidence intervals, computed exactly and without dependencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
"""Of every interval in a report (two-sided)."""


@dataclass(frozen=True)
class Summary:
    """A sample of one number per seed; interval and deviation are None for a single seed."""

    n: int
    mean: float
    sd: float | None
    """Sample standard deviation (n - 1)."""
    low: float | None
    high: float | None


def summarise(sample: Sequence[float]) -> Summary:
    """Mean, sample deviation and the t confidence interval of the mean.

    Raises:
        ValueError: the sample is empty.
    """
    n = len(sample)
    if not n:
        raise ValueError("no values to summarise")
    mean = round(math.fsum(sample) / n, 9)  # 9 digits: 41.6 - 39.6 is a difference of 2, not more
    if n == 1:
        return Summary(1, mean, None, None, None)
    sd = round(math.sqrt(math.fsum((x - mean) ** 2 for x in sample) / (n - 1)), 9)
    half = t_quantile((1 + CONFIDENCE) / 2, n - 1) * sd / math.sqrt(n)
    return Summary(n, mean, sd, round(mean - half, 9), round(mean + half, 9))


def t_quantile(p: float, df: int) -> float:
    """The p-quantile (0.5 < p < 1) of Student's t with `df` degrees of freedom, by bisection."""
    central = 2 * p - 1
    low, high = 0.0, 1.0
    while _central_mass(high, df) < central:
        low, high = high, high * 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _central_mass(middle, df) < central else (low, middle)
    return (low + high) / 2


def _central_mass(t: float, df: int) -> float:
    """P(|T| < t) for a whole number of degrees (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(df))
    cos2 = math.cos(angle) ** 2
    if df % 2:
        term, total = math.cos(angle), 0.0
        for j in range(1, df // 2 + 1):
            total += term
            term *= cos2 * (2 * j) / (2 * j + 1)
        return (angle + math.sin(angle) * total) * 2 / math.pi
    term, total = 1.0, 0.0
    for j in range(1, df // 2 + 1):
        total += term
        term *= cos2 * (2 * j - 1) / (2 * j)
    return math.sin(angle) * total
