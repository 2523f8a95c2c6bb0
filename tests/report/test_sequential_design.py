"""Which seeds a table may use, and when it spends its alpha."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.report.sequential_design import design_of, planned_analyses
from report.build import Bench
from report.conftest import Make
from report.scores import design


@pytest.mark.parametrize(
    ("first", "most", "sizes"),
    [(3, 3, (3,)), (3, 12, (3, 5, 8, 12)), (3, 10, (3, 5, 8, 10)), (1, 4, (1, 2, 3, 4))],
)
def test_each_analysis_has_half_as_many_seeds_again(
    first: int, most: int, sizes: tuple[int, ...]
) -> None:
    assert planned_analyses(first, most) == sizes


@pytest.mark.parametrize(("first", "most"), [(1, 1), (2, 2), (3, 3), (1, 9), (3, 12), (5, 40)])
def test_the_analyses_share_alpha(first: int, most: int) -> None:
    by = design(first, most)
    shares = [by.alpha_at(n) for n in range(len(by.analyses))]
    assert sum(shares) == pytest.approx(by.alpha)
    assert all(share == 0 for share, n in zip(shares[:-1], by.analyses, strict=False) if n < 3)


def test_added_seeds_have_served_for_nothing_else(make: Make) -> None:
    tuned = [{"seeds": [9, 11], "what": "epochs"}, {"seeds": [0], "what": "K"}]
    changes: dict[str, Any] = {"max_seeds": 5, "tuned_on": tuned, "margin": 1.5, "alpha": 0.01}
    by = design_of(make((8, 5), scale_changes=changes).scale)
    assert by.seeds == (8, 5, 10, 12, 13)
    assert (by.margin, by.alpha, by.analyses) == (1.5, 0.01, (2, 3, 5))


def test_without_a_most_only_the_scales_seeds_are_used(make: Make) -> None:
    by = design_of(make((4, 2)).scale)
    assert (by.seeds, by.analyses, by.unit, by.accuracy) == ((4, 2), (2,), "points", True)


def test_looks_say_their_seeds_and_what_they_spend(make: Make) -> None:
    looks = [{"seeds": 2, "alpha": 0.01}, {"seeds": 6, "alpha": 0.04}]
    by = design_of(make((4, 2), scale_changes={"looks": looks}).scale)
    assert (by.seeds, by.analyses) == ((4, 2, 5, 6, 7, 8), (2, 6))
    assert [by.alpha_at(n) for n in (0, 1)] == [0.01, 0.04]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"looks": [{"seeds": 3, "alpha": 0.05}]}, "looks.0.seeds"),
        ({"looks": [{"seeds": 2, "alpha": 0.02}, {"seeds": 2, "alpha": 0.02}]}, "looks.1.seeds"),
        ({"looks": [{"seeds": 2, "alpha": 0.02}, {"seeds": 4, "alpha": 0.04}]}, "looks: "),
        ({"looks": [{"seeds": n, "alpha": 0.01} for n in (2, 3, 4)]}, "looks: "),
        ({"looks": [{"seeds": 2, "alpha": 0.05}], "max_seeds": 4}, "max_seeds: "),
    ],
)
def test_looks_that_contradict_each_other_are_refused(
    make: Make, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError, match=field):
        _ = make((4, 2), scale_changes=changes).scale


def test_a_claim_may_have_margins_and_a_test_of_its_own(make: Make) -> None:
    own = {"slow": {"margin": 0.5, "alike": 3.0, "test": "welch"}, "zero": {"margin": 4.0}}
    by = design_of(make(scale_changes={"judging": own, "margin": None}).scale)
    assert (by.better("slow"), by.alike("slow"), by.welch("slow")) == (0.5, 3.0, True)
    assert (by.better("learns"), by.alike("learns"), by.welch("learns")) == (0.0, 1.5, False)
    assert by.alike("zero") == 4.0, "what makes a cell better does not leave it alike"


def test_costs_are_no_accuracies(make: Make) -> None:
    bench: Bench = make(scale_changes={"metric": "cost/memory"})
    by = design_of(bench.scale)
    assert (by.unit, by.accuracy) == ("GB", False)
