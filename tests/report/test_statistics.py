from __future__ import annotations

import math
import random

import pytest

from harness.report.statistics import (
    Step,
    contrast,
    detectable,
    holm,
    p_above,
    prediction,
    seeds_for_width,
    seeds_needed,
    summarise,
    t_quantile,
    t_tail,
    welch,
)

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


@pytest.mark.parametrize(("df", "t"), TABLE.items())
def test_the_tail_is_the_quantiles_reverse(df: int, t: float) -> None:
    assert t_tail(t, df) == pytest.approx(0.025, abs=5e-6)
    assert t_tail(-t, df) == pytest.approx(0.975, abs=5e-6)
    assert t_tail(0.0, df) == 0.5


def test_a_one_sided_t_test() -> None:
    assert p_above([1.0, 2.0, 3.0], 0.0) == pytest.approx(0.037090, abs=1e-6)  # t = 2 sqrt(3)
    assert p_above([1.0, 2.0, 3.0], 2.0) == 0.5
    assert p_above([1.0, 2.0, 3.0], 4.0) == pytest.approx(1 - 0.037090, abs=1e-6)


def test_a_sample_without_deviation_is_believed() -> None:
    assert p_above([2.0, 2.0], 1.9) == 0
    assert p_above([2.0, 2.0], 2.0) == 1


def test_holm_steps_down() -> None:
    """0.01 against 0.05 / 4, 0.015 against 0.05 / 3, 0.03 against 0.05 / 2: there it stops."""
    steps = holm([0.03, 0.01, 0.04, 0.015], 0.05)
    assert [step.rejected for step in steps] == [False, True, False, True]
    assert steps == [
        Step(False, 0.05 / 2),
        Step(True, 0.05 / 4),
        Step(False, 0.05 / 2),
        Step(True, 0.05 / 3),
    ]
    assert holm([], 0.05) == []
    assert all(step.rejected for step in holm([0.05, 0.0125, 0.025, 0.016], 0.05))


@pytest.mark.parametrize(
    ("excess", "needed"), [(1.0, 10), (0.5, 34), (0.1, 787), (0.05, None), (0.0, None)]
)
def test_the_seeds_needed_are_those_of_the_tables_of_power(
    excess: float, needed: int | None
) -> None:
    """Effect in deviations, two-sided 0.05, power 0.8: as the noncentral t distribution says."""
    assert seeds_needed(excess, 1.0, 0.025, 1000) == needed


def test_without_deviation_two_seeds_decide_unless_it_is_a_tie() -> None:
    assert seeds_needed(0.1, 0.0, 0.025, 100) == 2
    assert seeds_needed(0.0, 0.0, 0.025, 100) is None


FIVE_RUNS = {
    "v1": ([60.6, 60.6, 60.7, 60.9, 61.1], 0.66),
    "v2": ([67.7, 67.6, 67.4, 67.6, 67.3], 0.50),
}
"""The official README's, and the half width of the interval of one more run."""


@pytest.mark.parametrize("which", FIVE_RUNS)
def test_the_band_of_one_new_run_after_the_official_five(which: str) -> None:
    values, half = FIVE_RUNS[which]
    sd = summarise(values).sd
    assert sd is not None
    assert prediction(sd, 5, 1, 0.05) == pytest.approx(half, abs=5e-3)


def test_several_new_runs_have_a_narrower_band_and_a_stricter_level_a_wider_one() -> None:
    assert prediction(1.0, 8, 1, 0.05) == pytest.approx(2.3646 * math.sqrt(1 + 1 / 8), abs=1e-4)
    assert prediction(1.0, 8, 3, 0.05) == pytest.approx(2.3646 * math.sqrt(1 / 3 + 1 / 8), abs=1e-4)
    assert prediction(1.0, 8, 1, 0.01) > prediction(1.0, 8, 1, 0.05)
    assert prediction(0.0, 8, 1, 0.05) == 0


def test_the_share_of_new_values_outside_of_the_band_is_the_level() -> None:
    draw = random.Random(0)
    outside, trials = 0, 4000
    for _ in range(trials):
        *old, new = (draw.gauss(50, 2) for _ in range(9))
        found = summarise(old)
        assert found.sd is not None
        outside += abs(new - found.mean) > prediction(found.sd, 8, 1, 0.05)
    assert outside / trials == pytest.approx(0.05, abs=0.014)  # four standard errors


def test_a_drop_of_the_detectable_size_is_seen_four_times_in_five() -> None:
    draw = random.Random(1)
    drop = detectable(2.0, 12, 1, 0.05)
    seen, trials = 0, 4000
    for _ in range(trials):
        *old, new = (draw.gauss(50, 2) for _ in range(13))
        found = summarise(old)
        assert found.sd is not None
        seen += new - drop < found.mean - prediction(found.sd, 12, 1, 0.05)
    assert seen / trials == pytest.approx(0.8, abs=0.05)


class TestContrast:
    """A difference of means, or of differences."""

    def test_shared_seeds_are_paired(self) -> None:
        a, b = {0: 1.0, 1: 2.0, 2: 9.0}, {0: 3.0, 1: 5.0, 7: 0.0}
        found = contrast([(1, b), (-1, a)])
        assert found is not None
        assert found.how == "paired"
        assert found.summary == summarise([2.0, 3.0])

    def test_welch_where_no_seeds_are_shared(self) -> None:
        """The example of Student's sleep data: scipy's ttest_ind(a, b, equal_var=False) gives
        t = 1.8608, df = 17.78 and a 95 % interval of (-0.2055, 3.3655); with df = 17 it is a
        little wider."""
        a = dict(enumerate((1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)))
        b = dict(enumerate((0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0), start=10))
        found = contrast([(1, a), (-1, b)])
        assert found is not None
        assert (found.how, found.summary.n) == ("Welch", 10)
        assert found.summary.mean == pytest.approx(1.58)
        standard_error, t17 = 1.58 / 1.8608, 2.1098
        assert found.summary.low == pytest.approx(1.58 - t17 * standard_error, abs=1e-3)
        assert found.summary.high == pytest.approx(1.58 + t17 * standard_error, abs=1e-3)

    def test_one_seed_has_no_interval(self) -> None:
        found = contrast([(1, {0: 3.0, 1: 4.0}), (-1, {1: 1.0})])
        assert found is not None
        assert (found.how, found.summary.mean, found.summary.low) == ("one seed", 3.0, None)
        found = contrast([(1, {0: 3.0, 1: 4.0}), (-1, {7: 1.0})])
        assert found is not None
        assert (found.how, found.summary.mean) == ("one seed", 2.5)

    def test_without_values_there_is_none(self) -> None:
        assert contrast([(1, {0: 3.0}), (-1, {})]) is None

    def test_a_difference_of_differences(self) -> None:
        cells = [{0: 9.0, 1: 8.0}, {0: 4.0, 1: 4.0}, {0: 3.0, 1: 3.0}, {0: 1.0, 1: 2.0}]
        found = contrast(list(zip((1, -1, -1, 1), cells, strict=True)))
        assert found is not None
        assert found.summary == summarise([9.0 - 4 - 3 + 1, 8.0 - 4 - 3 + 2])

    def test_no_deviation_at_all(self) -> None:
        found = contrast([(1, {0: 2.0, 1: 2.0}), (-1, {5: 1.0, 6: 1.0})])
        assert found is not None
        assert (found.summary.low, found.summary.high) == (1.0, 1.0)


ONE = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
OTHER = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4]


def test_welchs_test_gives_the_published_value_of_an_example() -> None:
    """p = 0.02138 on both sides, with 24.98 degrees of freedom, in Rosetta Code's task."""
    found = welch(ONE, OTHER)
    assert found.df == 24
    assert 0.02138 < 2 * found.p_below(0.0) < 0.0218  # of 24 degrees
    assert found.p_above(0.0) == pytest.approx(1 - found.p_below(0.0))


def test_welchs_degrees_of_freedom_are_never_fewer_than_the_smaller_samples() -> None:
    assert welch([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]).df == 2
    assert welch([1.0, 1.0], [5.0, 5.0]).p_below(0.0) == 0.0
    assert welch([1.0], [5.0, 6.0]).error is None


def test_so_many_seeds_make_the_interval_as_narrow() -> None:
    found = seeds_for_width(1.5, 2.0, 0.01, 50)
    assert found is not None
    wide, narrow = (t_quantile(0.99, n - 1) * 2.0 / n**0.5 for n in (found - 1, found))
    assert narrow <= 1.5 < wide
    assert seeds_for_width(0.1, 2.0, 0.01, 50) is None
