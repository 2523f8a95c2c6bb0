"""Verdicts on numbers whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.recipe.ablation import CONTROL
from harness.report.claims import Judgement, decide, judge
from report.build import OLDER, Bench
from report.conftest import Collected

Make = Callable[..., Bench]


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([2.1], "reproduced"),
        ([2.0], "not reproduced"),  # a tie with the margin is not above it
        ([41.6 - 39.6], "not reproduced"),  # 2 up to rounding of the machine
        ([-5.0], "not reproduced"),
        ([5.0, 5.2, 4.9], "reproduced"),
        ([5.0, 5.0, 5.0], "reproduced"),
        ([2.0, 2.0, 2.0], "not reproduced"),
        ([1.0, 1.1, 0.9], "not reproduced"),  # surely positive, surely below the margin
        ([3.0, 1.0, 2.4], "undecided"),
        ([9.0, 0.5], "undecided"),  # two seeds seldom decide anything
        ([-3.0, -3.1, -2.9], "not reproduced"),
        ([1.9, 2.0, 2.0, 2.1, 1.8], "undecided"),
    ],
)
def test_beats(differences: list[float], verdict: str) -> None:
    assert decide("beats", differences, 2.0) == verdict


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([2.0], "reproduced"),
        ([2.1], "not reproduced"),
        ([-8.0], "reproduced"),  # worse than untrained has failed too
        ([0.5, 0.4, 0.6], "reproduced"),
        ([2.0, 2.0, 2.0], "reproduced"),
        ([9.0, 9.1, 8.9], "not reproduced"),
        ([1.0, 4.0, 2.0], "undecided"),
    ],
)
def test_fails(differences: list[float], verdict: str) -> None:
    assert decide("fails", differences, 2.0) == verdict


def claims(bench: Bench, gather: Collected) -> dict[str, Judgement]:
    return {each.claim.id: each for each in judge(gather(bench))}


def fill(bench: Bench, **values: Any) -> Bench:
    """Every cell by its name with _ for the dot; a value, or None for a diverged run."""
    for name, of_seeds in values.items():
        cell = CONTROL if name == CONTROL else name.replace("_", ".")
        for seed, value in zip(bench.seeds, of_seeds, strict=False):
            if value is None:
                bench.diverge(cell, seed)
            elif value != "absent":
                bench.finish(cell, seed, value)
    return bench


def test_one_seed_is_judged_by_the_margin_and_says_so(make: Make, gather: Collected) -> None:
    bench = fill(make(), m0=[15.0], m0_9=[38.0], m0_99=[44.0], untrained=[14.0])
    found = claims(bench, gather)
    assert found["zero"].verdict == "reproduced"
    assert found["slow"].verdict == "reproduced"
    assert found["slow"].evidence == "+6.00 points to m0.9, one seed; margin 2"
    assert found["learns"].evidence.startswith("+30.00 points to the untrained control")


def test_seeds_are_paired(make: Make, gather: Collected) -> None:
    """Seeds differ by 20 points, the cells by 5 in each: unpaired, nothing could be told."""
    bench = fill(make((0, 1, 2)), m0_9=[20, 30, 40.0], m0_99=[25.1, 35, 44.9])
    judgement = claims(bench, gather)["slow"]
    assert judgement.verdict == "reproduced"
    assert judgement.difference is not None
    assert judgement.difference.mean == pytest.approx(5)
    assert "95 % interval" in judgement.evidence
    assert "3 seeds" in judgement.evidence


def test_a_cell_that_diverged_in_every_seed_has_failed_also_without_control(
    make: Make, gather: Collected
) -> None:
    bench = fill(make((0, 1), scale_changes={"control": False}), m0=[None, None])
    judgement = claims(bench, gather)["zero"]
    assert judgement.verdict == "reproduced"
    assert judgement.evidence == "m0 diverged in 2 of 2 seeds (the loss is nan at step 94)"


def test_without_control_a_finished_cell_cannot_be_said_to_fail(
    make: Make, gather: Collected
) -> None:
    bench = fill(make(scale_changes={"control": False}), m0=[15.0])
    judgement = claims(bench, gather)["zero"]
    assert judgement.verdict == "incomplete"
    assert "untrained control" in judgement.evidence


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ([None], [38.0], "not reproduced"),
        ([38.0], [None], "reproduced"),
        ([None], [None], "not reproduced"),
        ([None, 50.0], [38.0, 38.0], "undecided"),
        ([50.0, 50.0], [None, 38.0], "reproduced"),
        ([50.0, None], [None, 38.0], "undecided"),
        ([39.0, None], [38.0, 38.0], "not reproduced"),
        ([39.0, 39.0], [38.0, None], "undecided"),
    ],
)
def test_divergence_loses(
    make: Make, gather: Collected, ours: list[Any], theirs: list[Any], verdict: str
) -> None:
    bench = fill(make(tuple(range(len(ours)))), m0_99=ours, m0_9=theirs)
    judgement = claims(bench, gather)["slow"]
    assert judgement.verdict == verdict
    assert "diverged in" in judgement.evidence


@pytest.mark.parametrize(
    ("values", "verdict"), [([None, 14.0], "reproduced"), ([None, 40.0], "undecided")]
)
def test_failing_by_divergence_and_by_numbers_must_agree(
    make: Make, gather: Collected, values: list[Any], verdict: str
) -> None:
    bench = fill(make((0, 1)), m0=values, untrained=[14.0, 14.0])
    assert claims(bench, gather)["zero"].verdict == verdict


def test_a_missing_seed_leaves_the_claim_open_and_tells_the_numbers_so_far(
    make: Make, gather: Collected
) -> None:
    bench = fill(make((0, 1)), m0_99=[44.0, 44.0], m0_9=[38.0, "absent"])
    judgement = claims(bench, gather)["slow"]
    assert judgement.verdict == "incomplete"
    assert judgement.evidence.startswith("m0.9 lacks 1 of 2 seeds (seed 1 not run)")
    assert "So far: +6.00 points to m0.9, one seed" in judgement.evidence


def test_a_stale_result_judges_nothing(make: Make, gather: Collected) -> None:
    bench = fill(make(), m0_99=[44.0])
    bench.finish("m0.9", 0, 38.0, edition=OLDER)
    judgement = claims(bench, gather)["slow"]
    assert judgement.verdict == "incomplete"
    assert "seed 0 stale" in judgement.evidence


def test_a_diverged_probe_says_nothing_about_the_pre_training(
    make: Make, gather: Collected
) -> None:
    bench = make(scale_changes={"metric": "linear/top1"})
    bench.finish("m0.9", 0, 38.0, 48.0)
    bench.pretrain("m0.99", 0)
    bench.stage("m0.99", 0, "linear", {}, state="diverged", message="lr 30: nan at step 7")
    judgement = claims(bench, gather)["slow"]
    assert judgement.verdict == "incomplete"
    assert "probe diverged" in judgement.evidence


def test_what_a_scale_cannot_test_it_does_not_judge(make: Make, gather: Collected) -> None:
    bench = fill(make(scale_changes={"untestable": {"slow": "Too few epochs."}}), m0_99=[44.0])
    judgement = claims(bench, gather)["slow"]
    assert judgement.verdict == "not testable at this scale"
    assert judgement.evidence == "Too few epochs."


def test_a_cell_that_the_scale_leaves_out_is_missing(make: Make, gather: Collected) -> None:
    bench = fill(make(scale_changes={"cells": ["m0.99"]}), m0_99=[44.0])
    assert "does not run the cell m0.9" in claims(bench, gather)["slow"].evidence
