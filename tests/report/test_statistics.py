from __future__ import annotations

import math

import pytest

from harness.report.statistics import summarise, t_quantile

TABLE = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 9: 2.2622, 10: 2.2281, 30: 2.0423}
"""Two-sided 95 % points of Student's t, as any table prints them."""


@pytest.mark.parametrize(("df", "expected"), TABLE.items())
def test_the_quantiles_are_the_tables(df: int, expected: float) -> None:
    assert t_quantile(0.975, df) == pytest.approx(expected, abs=5e-5)


def test_many_degrees_approach_the_normal_distribution() -> None:
    assert t_quantile(0.975, 2000) == pytest.approx(1.9612, abs=1e-4)


def test_one_value_has_no_deviation_and_no_interval() -> None:
    found = summarise([41.6])
    assert (found.n, found.mean, found.sd, found.low, found.high) == (1, 41.6, None, None, None)


def test_the_interval_of_three_values() -> None:
    found = summarise([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.sd == 1
    assert found.high == pytest.approx(2 + 4.3027 / math.sqrt(3), abs=1e-4)
    assert found.low == pytest.approx(2 - 4.3027 / math.sqrt(3), abs=1e-4)


def test_equal_values_make_an_interval_of_no_length() -> None:
    found = summarise([0.1, 0.1, 0.1])
    assert (found.mean, found.sd, found.low, found.high) == (0.1, 0, 0.1, 0.1)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no values"):
        summarise([])
