"""What seeds decide, on scores whose truth is known."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from harness.recipe.claims import CONTROL, Claim
from harness.recipe.judging import Judging
from harness.report.comparison import JUDGED, Scores
from harness.report.decision_rule import Decision, decide_claims
from harness.report.narrowing import furthest, needed
from harness.report.statistics import t_quantile
from report.scores import claim, design, drawn, scores

BEATS = claim("beats", cell="b", over="a")
FAILS = claim("fails", cell="a")
ORDERING = claim("ordering", cells=["c", "b", "a"])
MONOTONE = claim("monotone", cells=["a", "b", "c"])
PLATEAU = claim("plateau", cells=["a", "b", "c"])
PAIR = claim("plateau", cells=["a", "b"])
NOT_WORSE = claim("not_worse", cell="b", over="a")

LOW = [14.0, 15.0, 14.5, 15.5]
"""An untrained control."""


def one(what: Claim, found: Scores, seeds: int, **more: object) -> Decision:
    (decision,) = decide_claims([what], found, design(seeds, **more))  # type: ignore[arg-type]
    return decision


def above(differences: Sequence[float], base: float = 30.0) -> Scores:
    """b above a by these differences, both far above the control; seeds differ by 5."""
    a = [base + 5 * seed for seed in range(len(differences))]
    b = [x + d for x, d in zip(a, differences, strict=True)]
    return scores({"a": a, "b": b, CONTROL: [x - 15 for x in a]})


@pytest.mark.parametrize(
    ("differences", "conclusion"),
    [
        ([5.0, 5.2, 4.9], "reproduced"),
        ([5.0, 5.0, 5.0], "reproduced"),
        ([2.0, 2.0, 2.0], "not reproduced"),  # a tie with the margin is not above it
        ([41.6 - 39.6] * 2, "not reproduced"),  # 2 up to rounding of the machine
        ([1.0, 1.1, 0.9], "not reproduced"),  # surely positive, surely below the margin
        ([2.6, 2.0, 2.4], "undecided"),  # surely positive, not surely above the margin
        ([9.0, 0.5], "undecided"),  # two seeds seldom decide anything
        ([-3.0, -3.1, -2.9], "not reproduced"),
        ([1.9, 2.0, 2.0, 2.1], "undecided"),
        ([9.0], "undecided"),  # one seed decides nothing
    ],
)
def test_beats(differences: list[float], conclusion: str) -> None:
    assert one(BEATS, above(differences), len(differences)).conclusion == conclusion


@pytest.mark.parametrize(
    ("differences", "conclusion"),
    [
        ([-8.0, -8.1, -7.9], "reproduced"),  # worse than untrained has failed too
        ([0.5, 0.4, 0.6], "reproduced"),
        ([2.0, 2.0, 2.0], "reproduced"),
        ([9.0, 9.1, 8.9], "not reproduced"),
        ([1.0, 4.0, 2.0], "undecided"),
        ([0.5], "undecided"),
    ],
)
def test_fails(differences: list[float], conclusion: str) -> None:
    n = len(differences)
    a = [low + d for low, d in zip(LOW, differences, strict=False)]
    assert one(FAILS, scores({"a": a, CONTROL: LOW[:n]}), n).conclusion == conclusion


@pytest.mark.parametrize(("b", "conclusion"), [(30.0, "reproduced"), (20.5, "unlearned")])
def test_a_claim_is_decided_by_the_metric_that_it_names(b: float, conclusion: str) -> None:
    """Of the table's own, b is below a, and both are below the control."""
    judged = {"a": [9, 9, 9.0], "b": [5, 5, 5.0], CONTROL: LOW[:3]}
    boxes = {"a": [10, 10.1, 10], "b": [b, b, b + 0.1], CONTROL: [1, 1, 1.1]}
    if conclusion == "unlearned":
        boxes[CONTROL] = [20, 20, 20.1]
    found = scores(judged, **{"detection/ap": boxes})
    what = claim("beats", cell="b", over="a", metric="detection/ap")
    assert one(what, found, 3).conclusion == conclusion


NOISE = {"a": [0.0, 0.1, -0.1], "b": [0.1, -0.1, 0.0], "c": [-0.1, 0.1, 0.0]}
WILD = {"a": [0.0, 4.0, -4.0], "b": [4.0, -4.0, 0.0], "c": [-4.0, 4.0, 0.0]}


@pytest.mark.parametrize(
    ("what", "means", "noise", "conclusion"),
    [
        (ORDERING, (40, 41, 42), NOISE, "reproduced"),  # by however little
        (ORDERING, (41, 40, 42), NOISE, "not reproduced"),
        (ORDERING, (40, 40, 42), NOISE, "undecided"),  # nobody can prove a tie to be none
        (ORDERING, (40, 41, 42), WILD, "undecided"),
        (MONOTONE, (40, 44, 43), NOISE, "reproduced"),  # a fall within the margin is none
        (MONOTONE, (40, 47, 43), NOISE, "not reproduced"),
        (MONOTONE, (40, 41, 41), NOISE, "not reproduced"),  # it has not risen
        (MONOTONE, (40, 44, 43), WILD, "undecided"),
        (PLATEAU, (40, 40.5, 40.2), NOISE, "reproduced"),
        (PLATEAU, (40, 42, 44), NOISE, "not reproduced"),
        (PLATEAU, (40, 40.5, 42), NOISE, "undecided"),
        (PLATEAU, (40, 40, 40), WILD, "undecided"),  # no difference found is no equivalence
    ],
)
def test_several_cells(
    what: Claim, means: tuple[float, ...], noise: dict[str, list[float]], conclusion: str
) -> None:
    values: dict[str, list[float | None]] = {
        cell: [mean + e for e in noise[cell]] for cell, mean in zip("abc", means, strict=True)
    }
    assert one(what, scores({**values, CONTROL: [*LOW[:3]]}), 3).conclusion == conclusion


@pytest.mark.parametrize(
    ("differences", "conclusion"),
    [
        ([0.1, -0.1, 0.0], "reproduced"),
        ([9.0, 9.1, 8.9], "reproduced"),
        ([-1.0, -1.1, -0.9], "reproduced"),  # worse, by less than the margin
        ([-5.0, -5.1, -4.9], "not reproduced"),
        ([-2.0, 2.0, 0.0], "undecided"),
    ],
)
def test_not_worse(differences: list[float], conclusion: str) -> None:
    assert one(NOT_WORSE, above(differences), len(differences)).conclusion == conclusion


def test_better_and_alike_have_margins_of_their_own() -> None:
    """By default any difference makes a cell better, and less than 1.5 points leaves it alike."""
    small = above([0.5, 0.6, 0.4])
    assert one(BEATS, small, 3, margin=None).conclusion == "reproduced"
    assert one(PAIR, small, 3, margin=None).conclusion == "reproduced"  # and alike, too
    none = above([0.1, -0.1, 0.0])
    assert one(BEATS, none, 3, margin=None).conclusion == "not reproduced"
    assert one(BEATS, above([1.4, 1.3, -0.3]), 3, margin=None).conclusion == "undecided"
    own = {"it": Judging(margin=1.0)}
    assert one(BEATS, small, 3, margin=None, judging=own).conclusion == "not reproduced"
    wide = {"it": Judging(margin=0.0, alike=5.0)}
    assert one(BEATS, small, 3, margin=None, judging=wide).conclusion == "reproduced"


def test_a_claim_may_be_about_another_metric() -> None:
    knn = {"a": [40.0, 40.1, 40.2], "b": [50.0, 50.2, 49.9], CONTROL: LOW[:3]}
    task = {"a": [99.0, 99.1, 99.0], "b": [80.0, 80.1, 80.2]}
    leaks = claim("beats", cell="a", over="b", metric="pretext/top1")
    found = scores(knn, pretext__top1=task)
    assert one(leaks, found, 3).conclusion == "reproduced"
    assert one(claim("beats", cell="a", over="b"), found, 3).conclusion == "not reproduced"
    assert one(leaks, scores(knn), 3).conclusion == "incomplete"


def test_a_cell_whose_failure_is_the_claim_need_not_have_learned() -> None:
    flat = scores({"a": [14.1, 15.1, 14.4], "b": [40.0, 41.1, 40.6], CONTROL: LOW[:3]})
    may = claim("beats", cell="b", over="a", may_fail=["a"])
    assert one(may, flat, 3).conclusion == "reproduced"
    other = claim("beats", cell="b", over="a", may_fail=["b"])
    assert one(other, flat, 3).conclusion == "unlearned"


def test_independent_samples_are_not_paired() -> None:
    """Seeds differ by 5, the same in both cells: pairs tell a difference, samples do not."""
    found = above([3.0, 3.1, 2.9])
    assert one(BEATS, found, 3).conclusion == "reproduced"
    welch = {"it": Judging(test="welch")}
    assert one(BEATS, found, 3, judging=welch).conclusion == "undecided"


@pytest.mark.parametrize(
    ("a", "b", "conclusion"),
    [
        ([None] * 3, [38.0, 38.1, 37.9], "reproduced"),
        ([38.0, 38.1, 37.9], [None] * 3, "not reproduced"),
        ([None] * 3, [None] * 3, "not reproduced"),
        ([None, 38.0, 38.0], [50.0, 50.0, 50.1], "reproduced"),
        ([38.0, 38.0, 38.0], [None, 50.0, 50.1], "undecided"),
        ([38.0, 38.0, 38.1], [None, 38.0, 38.1], "not reproduced"),
        ([None, 38.0, 38.0], [38.0, 38.0, 38.1], "undecided"),
        ([None, 38.0, 38.0], [50.0, None, 50.1], "undecided"),
    ],
)
def test_divergence_loses(a: list[float | None], b: list[float | None], conclusion: str) -> None:
    assert one(BEATS, scores({"a": a, "b": b, CONTROL: LOW[:3]}), 3).conclusion == conclusion


def test_a_cell_that_diverged_in_every_seed_needs_no_control_to_have_failed() -> None:
    assert one(FAILS, scores({"a": [None, None]}), 2).conclusion == "reproduced"
    assert one(FAILS, scores({"a": [None, 14.0]}), 2).conclusion == "incomplete"


def test_one_seed_looks_like_something() -> None:
    assert one(BEATS, above([2.1]), 1).holds
    assert not one(BEATS, above([2.0]), 1).holds
    assert one(FAILS, scores({"a": [None], CONTROL: [14.0]}), 1).holds
    plateau = scores({"a": [40.0], "b": [41.0], "c": [42.5], CONTROL: [14.0]})
    assert not one(PLATEAU, plateau, 1).holds


def test_what_has_learned_nothing_is_not_compared() -> None:
    flat = scores({"a": [14.1, 15.1, 14.4], "b": [40.0, 41.1, 40.6], CONTROL: LOW[:3]})
    decision = one(BEATS, flat, 3)
    assert decision.conclusion == "unlearned"
    assert [each.comparison.statement.cell for each in decision.unlearned] == ["a"]
    assert one(claim("beats", cell="a", over=CONTROL), flat, 3).conclusion == "not reproduced"
    assert one(BEATS, flat, 3, accuracy=False).conclusion == "reproduced"  # of costs: no matter


def test_what_has_perhaps_learned_something_leaves_the_claim_open() -> None:
    values = {"a": [16.0, 22.0, 14.0], "b": [40.0, 40.1, 39.9], CONTROL: LOW[:3]}
    decision = one(BEATS, scores(values), 3)
    assert decision.conclusion == "undecided"
    assert [each.comparison.statement.cell for each in decision.unlearned] == ["a"]
    assert needed(decision, design(3)) is not None


def test_a_missing_seed_leaves_the_claim_open() -> None:
    values = {"a": [40.0, 40.0], "b": [50.0, 50.1, 50.2], CONTROL: LOW[:3]}
    assert one(BEATS, scores(values), 3).conclusion == "incomplete"


def test_a_table_with_more_comparisons_asks_more_of_each() -> None:
    """An interval that is enough for one claim is not for one of four."""
    found = {**above([4.0, 5.0, 4.6, 4.4]), (JUDGED, "c"): dict(enumerate([30.0, 36, 39, 46]))}
    free = ["a", "b"]
    alone = claim("beats", cell="b", over="a", may_fail=free)
    rest = [claim("beats", name=f"n{n}", cell="c", over=x, may_fail=["c", x])
            for n, x in enumerate("ab")]  # fmt: skip
    single, many = one(alone, found, 4), decide_claims([alone, *rest], found, design(4))
    assert single.decisive().levels == (0.025, 0.025)
    assert many[0].decisive().levels == (0.025 / 3, 0.025 / 3)
    assert [each.conclusion for each in many] == ["reproduced", "undecided", "not reproduced"]
    assert many[1].decisive().levels == (0.025 / 2, 0.025 / 3)  # one is better, none worse


def test_an_interval_and_its_verdict_agree() -> None:
    chance = random.Random(7)
    means = {CONTROL: 30.0, "a": 33.0, "b": 35.0, "c": 35.5, "d": 34.0, "zero": 31.0}
    seen: set[str] = set()
    for _ in range(100):
        for decision in decide_claims(TABLE, drawn(means, 5, chance), design(5)):
            for each in decision.evidence.values():
                assert each.shows() == each.found
                seen |= each.found
    assert seen == {"better", "worse", "not better", "not worse"}


def test_an_undecided_claim_says_how_many_seeds_narrow_it() -> None:
    decision = one(BEATS, above([3.0, 4.5, 2.0]), 3)
    assert decision.conclusion == "undecided"
    found = needed(decision, design(3))
    assert found is not None
    wide, narrow = (t_quantile(1 - 0.025 / 3, n - 1) * 1.258 / n**0.5 for n in (found - 1, found))
    assert narrow <= 2.0 < wide  # of two comparisons with the control one lower bound is decided
    assert needed(one(BEATS, above([2.0, 2.1, 1.9]), 3), design(3)) is None  # it is narrow
    assert needed(one(BEATS, above([9.0]), 1), design(1)) is None  # no deviation to estimate from
    assert needed(one(BEATS, above([9.0, 9.0]), 2), design(2)) is None  # it is decided
    few = design(3, 5)
    assert needed(one(BEATS, above([3.0, 24.5, 2.0]), 3, most=5), few) == furthest(few) + 1 == 6


def test_seeds_that_are_added_decide_and_what_is_decided_stays() -> None:
    early = [3.6, 5.1, 4.2]
    later = [*early, 4.0, 4.4]
    other = claim("beats", name="other", cell="c", over="a")
    c = {0: 45.0, 1: 50.2, 2: 54.9}
    first = decide_claims([BEATS, other], {**above(early), (JUDGED, "c"): c}, design(3, 5))
    assert [each.conclusion for each in first] == ["undecided", "reproduced"]
    second = decide_claims([BEATS, other], {**above(later), (JUDGED, "c"): c}, design(3, 5))
    assert [each.conclusion for each in second] == ["reproduced", "reproduced"]
    assert [each.seeds for each in second] == [5, 3]
    assert second[1] == first[1]


TABLE = [
    claim("fails", name="one", cell="zero"),
    claim("beats", name="two", cell="c", over="a"),
    claim("ordering", name="three", cells=["c", "b", "a"]),
    claim("monotone", name="four", cells=["a", "b", "c"]),
    claim("plateau", name="five", cells=["b", "d"]),
    claim("not_worse", name="six", cell="d", over="a"),
    claim("beats", name="seven", cell="a", over="c"),
]


def test_what_is_far_from_the_margin_is_found() -> None:
    means = {CONTROL: 15.0, "zero": 12.0, "a": 40.0, "b": 50.0, "c": 60.0, "d": 50.0}
    chance = random.Random(4)
    expected = ["reproduced"] * 6 + ["not reproduced"]
    right = [0] * len(TABLE)
    for _ in range(200):
        decisions = decide_claims(TABLE, drawn(means, 8, chance, sd=0.5), design(8))
        for n, decision in enumerate(decisions):
            right[n] += decision.conclusion == expected[n]
    assert min(right) > 190
