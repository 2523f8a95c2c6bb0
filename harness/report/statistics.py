"""Means, deviations, t intervals, t tests and Holm's correction, exactly, without dependencies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

CONFIDENCE = 0.95
"""Confidence of every interval in a report (two-sided), unless stated otherwise."""

POWER = 0.8
"""Power at which the estimated number of seeds would decide a claim."""


@dataclass(frozen=True)
class Summary:
    """A sample of one number per seed; interval and deviation are None for a single seed."""

    n: int
    mean: float
    sd: float | None
    """Sample standard deviation (n - 1)."""
    low: float | None
    high: float | None


def summarise(sample: Sequence[float], confidence: float = CONFIDENCE) -> Summary:
    """Mean, sample deviation and the two-sided t confidence interval of the mean.

    Raises:
        ValueError: the sample is empty.
    """
    n = len(sample)
    if not n:
        raise ValueError("no values to summarise")
    mean = _mean(sample)
    if n == 1:
        return Summary(1, mean, None, None, None)
    sd = _deviation(sample, mean)
    half = t_quantile((1 + confidence) / 2, n - 1) * sd / math.sqrt(n)
    return Summary(n, mean, sd, round(mean - half, 9), round(mean + half, 9))


def _mean(sample: Sequence[float]) -> float:
    return round(math.fsum(sample) / len(sample), 9)  # 41.6 - 39.6 must be 2, not slightly more


def _deviation(sample: Sequence[float], mean: float) -> float:
    squares = math.fsum((x - mean) ** 2 for x in sample)
    return round(math.sqrt(squares / (len(sample) - 1)), 9)


def prediction(sd: float, n: int, new: int, level: float) -> float:
    """Half-width of the two-sided t prediction interval for the mean of `new` further values.

    That mean is outside with probability `level` if the new values have the same normal
    distribution as the n values (two or more) with deviation `sd`.
    """
    return round(t_quantile(1 - level / 2, n - 1) * _of_new(sd, n, new), 9)


def detectable(sd: float, n: int, new: int, level: float) -> float:
    """How far the mean must have moved to leave the `prediction` with a power of about 0.8."""
    return prediction(sd, n, new, level) + t_quantile(POWER, n - 1) * _of_new(sd, n, new)


def _of_new(sd: float, n: int, new: int) -> float:
    """Standard deviation of the mean of `new` values minus the mean of n others."""
    return sd * math.sqrt(1 / new + 1 / n)


def p_above(sample: Sequence[float], threshold: float) -> float:
    """One-sided t test: the p-value of the hypothesis that the true mean is at most `threshold`.

    One minus it is the p-value of "at least". A sample without any deviation gives 0 or 1.

    Args:
        sample: two values or more.
    """
    n = len(sample)
    mean = _mean(sample)
    sd = _deviation(sample, mean)
    if sd == 0:
        return 0.0 if mean > threshold else 1.0
    return t_tail((mean - threshold) * math.sqrt(n) / sd, n - 1)


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference of means, with what a t test of it needs."""

    mean: float
    error: float | None
    """Standard error; None: a single value."""
    df: int
    """Degrees of freedom."""

    def reach(self, level: float) -> float:
        """Distance from the mean to a one-sided bound that is wrong with probability `level`."""
        if self.error is None or not level:
            return math.inf
        return round(t_quantile(1 - level, self.df) * self.error, 9) if self.error else 0.0

    def p_above(self, threshold: float) -> float:
        """p-value of the hypothesis that the true value is at most `threshold`."""
        if self.error is None:
            return 1.0
        if not self.error:
            return 0.0 if self.mean > threshold else 1.0
        return t_tail((self.mean - threshold) / self.error, self.df)

    def p_below(self, threshold: float) -> float:
        """p-value of the hypothesis that the true value is at least `threshold`."""
        return Estimate(-self.mean, self.error, self.df).p_above(-threshold)


def paired(differences: Sequence[float]) -> Estimate:
    """The mean of these differences, one or more."""
    mean, n = _mean(differences), len(differences)
    if n == 1:
        return Estimate(mean, None, 0)
    return Estimate(mean, _deviation(differences, mean) / math.sqrt(n), n - 1)


def welch(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """The difference of the means of two independent samples, each with its own variance (Welch,
    1947). The degrees of freedom are rounded down to a whole number."""
    means = _mean(ours), _mean(theirs)
    mean = round(means[0] - means[1], 9)
    if min(len(ours), len(theirs)) < 2:
        return Estimate(mean, None, 0)
    parts = [
        (_deviation(sample, at) ** 2 / len(sample), len(sample) - 1)
        for sample, at in zip((ours, theirs), means, strict=True)
    ]
    total = math.fsum(part for part, _ in parts)
    fewest = min(df for _, df in parts)
    df = total**2 / math.fsum(part**2 / df for part, df in parts) if total else fewest
    return Estimate(mean, math.sqrt(total), max(fewest, math.floor(df)))


@dataclass(frozen=True)
class Step:
    """Result of Holm's method for one hypothesis."""

    rejected: bool
    level: float
    """The level that its p-value was compared with; for those not rejected, the last step's."""


def holm(p_values: Sequence[float], level: float) -> list[Step]:
    """Holm's step-down method (1979), in the order of the given p-values.

    The probability of rejecting any true hypothesis is at most `level`, for any dependence between
    them.
    """
    ranked = sorted(range(len(p_values)), key=lambda i: p_values[i])
    steps: dict[int, Step] = {}
    for rank, i in enumerate(ranked):
        part = level / (len(ranked) - rank)
        if p_values[i] > part:
            steps.update({j: Step(False, part) for j in ranked[rank:]})
            break
        steps[i] = Step(True, part)
    return [steps[i] for i in range(len(p_values))]


def seeds_needed(excess: float, sd: float, level: float, most: int) -> int | None:
    """How many values give a one-sided t test at `level` a power of about 0.8; None: more than
    `most`.

    Args:
        excess: distance of the mean from the threshold.
        sd: deviation of one value.
    """
    if sd == 0:
        return 2 if excess > 0 else None
    normal = NormalDist().inv_cdf(1 - level) + NormalDist().inv_cdf(POWER)
    if excess * math.sqrt(most) <= normal * sd:  # t needs more values than the normal distribution
        return None
    for n in range(max(2, math.ceil((normal * sd / excess) ** 2)), most + 1):
        if excess * math.sqrt(n) >= (t_quantile(1 - level, n - 1) + t_quantile(POWER, n - 1)) * sd:
            return n
    return None


def decidable(sd: float, n: int, level: float) -> float:
    """The distance from a threshold that a one-sided t test of n values at `level` finds with a
    power of about 0.8."""
    return (t_quantile(1 - level, n - 1) + t_quantile(POWER, n - 1)) * sd / math.sqrt(n)


def equivalent(sd: float, n: int, level: float) -> float:
    """The margin within which two one-sided t tests of n values, each at `level`, find a true
    difference of zero with a power of about 0.8."""
    each = t_quantile((1 + POWER) / 2, n - 1)
    return (t_quantile(1 - level, n - 1) + each) * sd / math.sqrt(n)


def seeds_for_width(half: float, sd: float, level: float, most: int) -> int | None:
    """How many values give an interval of at most this half-width; None: more than `most`.

    Args:
        sd: deviation of one value.
        level: probability that one bound is wrong.
    """
    fits = (n for n in range(2, most + 1) if t_quantile(1 - level, n - 1) * sd <= half * n**0.5)
    return next(fits, None)


def t_tail(t: float, df: int) -> float:
    """P(T > t) of Student's t with `df` degrees of freedom."""
    beyond = max(0.0, 1 - _central_mass(abs(t), df)) / 2
    return beyond if t > 0 else 1 - beyond


@lru_cache(maxsize=4096)
def t_quantile(p: float, df: int) -> float:
    """The p-quantile (0.5 < p < 1) of Student's t with `df` degrees of freedom, by bisection."""
    central = 2 * p - 1
    low, high = 0.0, 1.0
    while _central_mass(high, df) < central:
        low, high = high, high * 2
    for _ in range(60):
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


How = Literal["paired", "Welch", "one seed"]
"""paired: over the seeds that all samples share; Welch: over samples of different seeds; one seed:
too few values for an interval."""


@dataclass(frozen=True)
class Contrast:
    """A sum of means, each times a coefficient: a difference, or a difference of differences."""

    summary: Summary
    """Its estimate, with an interval unless `how` is "one seed"."""
    how: How


def contrast(
    parts: Sequence[tuple[float, Mapping[int, float]]], confidence: float = CONFIDENCE
) -> Contrast | None:
    """The contrast of several samples, and its two-sided t interval. None if one is empty.

    Samples that share two seeds or more are paired: only the shared seeds count. Otherwise the
    variances are not assumed to be equal (Welch, 1947), with Satterthwaite's degrees of freedom,
    rounded down.

    Args:
        parts: (coefficient, seed -> value) of each sample.
    """
    if not all(values for _, values in parts):
        return None
    shared = sorted(set.intersection(*(set(values) for _, values in parts)))
    if shared:
        sums = [math.fsum(factor * values[seed] for factor, values in parts) for seed in shared]
        if len(shared) > 1:
            return Contrast(summarise(sums, confidence), "paired")
    samples = [(factor, list(values.values())) for factor, values in parts]
    if min(len(values) for _, values in samples) < 2:
        sums = sums if shared else [math.fsum(f * _mean(values) for f, values in samples)]
        return Contrast(summarise(sums, confidence), "one seed")
    mean = round(math.fsum(factor * _mean(values) for factor, values in samples), 9)
    n = min(len(values) for _, values in samples)
    variances = [
        ((factor * _deviation(values, _mean(values))) ** 2 / len(values), len(values) - 1)
        for factor, values in samples
    ]
    whole = math.fsum(variance for variance, _ in variances)
    if not whole:
        return Contrast(Summary(n, mean, 0.0, mean, mean), "Welch")
    df = math.floor(whole**2 / math.fsum(v**2 / d for v, d in variances) + 1e-9)
    half = t_quantile((1 + confidence) / 2, df) * math.sqrt(whole)
    low, high = round(mean - half, 9), round(mean + half, 9)
    return Contrast(Summary(n, mean, None, low, high), "Welch")
