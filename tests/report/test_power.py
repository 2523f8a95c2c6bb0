"""What a table's seeds can decide is what they do decide."""

from __future__ import annotations

import random

import pytest

from harness.recipe.claims import CONTROL
from harness.report.decision_rule import decide_claims
from harness.report.power import comparisons_of, first_level, power_lines
from harness.report.sequential_design import Design
from harness.report.statistics import decidable, equivalent
from report.scores import claim, drawn

BEATS = claim("beats", cell="b", over="a", may_fail=["a", "b"])
PAIR = claim("plateau", cells=["a", "b"])
CLAIMS = [claim("beats", name=n, cell="b", over=n, may_fail=["b", n]) for n in ("a", "c", "d")]


def by(**changes: object) -> Design:
    fields = {"margin": None, "alpha": 0.05, "seeds": tuple(range(10)), "analyses": (6, 10)}
    return Design(**{**fields, "spending": (0.02, 0.03), **changes})  # type: ignore[arg-type]


def test_a_difference_that_is_said_to_be_decidable_is_decided_in_four_of_five_tables() -> None:
    design, spread = by(analyses=(6,), seeds=tuple(range(6)), spending=(0.05,)), 1.0
    difference = decidable(spread, 6, first_level([BEATS], design, 0))
    chance, found = random.Random(1), 0
    for _ in range(400):
        values = drawn({"a": 40.0, "b": 40.0 + difference}, 6, chance, sd=spread / 2**0.5)
        (decision,) = decide_claims([BEATS], values, design)
        found += decision.conclusion == "reproduced"
    assert 0.75 < found / 400 < 0.88


def test_cells_that_are_equal_are_found_alike_within_the_margin_that_is_said() -> None:
    plain = by(analyses=(6,), seeds=tuple(range(6)), spending=(0.05,))
    alone = len(comparisons_of([PAIR], plain))
    margin = equivalent(1.0, 6, 0.025 / alone)
    design = by(margin=margin, analyses=(6,), seeds=tuple(range(6)), spending=(0.05,))
    chance, found = random.Random(2), 0
    for _ in range(400):
        values = drawn({"a": 40.0, "b": 40.0, CONTROL: 10.0}, 6, chance, sd=1 / 2**0.5)
        (decision,) = decide_claims([PAIR], values, design)
        found += decision.conclusion == "reproduced"
    assert found / 400 > 0.75


def test_comparisons_with_the_control_are_of_the_family_once() -> None:
    learned = [claim("beats", name=n, cell="b", over=n) for n in ("a", "c")]
    found = comparisons_of(learned, by())
    assert [(each.cell, each.over) for each in found] == [
        ("b", "a"), ("b", CONTROL), ("a", CONTROL), ("b", "c"), ("c", CONTROL),
    ]  # fmt: skip


def test_each_look_that_spends_alpha_has_a_line() -> None:
    lines = list(power_lines(CLAIMS, by(), 0.8))
    assert [line.partition(" ")[0] for line in lines] == ["6", "10"]
    assert f"{decidable(0.8, 6, 0.02 / 2 / 3):.2g} points or more" in lines[0]
    assert f"alike within {equivalent(0.8, 10, 0.03 / 2 / 3):.2g}" in lines[1]
    assert list(power_lines([], by(), 0.8)) == []
    silent = by(analyses=(2, 6), spending=(), alpha=0.05)
    assert [line.partition(" ")[0] for line in power_lines(CLAIMS, silent, 0.8)] == ["6"]


@pytest.mark.parametrize(("analysis", "level"), [(-1, 0.05 / 6), (0, 0.02 / 6), (1, 0.03 / 6)])
def test_the_first_level_is_a_share_for_each_side(analysis: int, level: float) -> None:
    assert first_level(CLAIMS, by(), analysis) == pytest.approx(level)
