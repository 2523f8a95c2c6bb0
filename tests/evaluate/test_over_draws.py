"""The interval over draws."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from harness.evaluate.over_draws import half_width


def test_two_draws_by_hand() -> None:
    """One degree of freedom: the 97.5 % quantile of Cauchy's distribution is tan(0.475 pi)."""
    assert half_width([40.0, 44.0]) == pytest.approx(2 * math.tan(0.475 * math.pi), rel=1e-9)


def test_it_is_the_t_interval_of_the_mean() -> None:
    values = [51.0, 47.5, 49.0, 53.25, 50.0]
    low, high = stats.t.interval(0.95, 4, loc=0, scale=stats.sem(values))
    assert half_width(values) == pytest.approx((high - low) / 2, rel=1e-9)


def test_equal_draws_have_none() -> None:
    assert half_width([50.0] * 5) == 0
