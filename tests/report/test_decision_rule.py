"""What seeds decide, on scores whose truth is known."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from harness.recipe.claims import CONTROL, Claim
from harness.report.comparison import Scores
from harness.report.decision_rule import Decision, decide_claims, furthest, needed
from harness.report.sequential_design import Design
from report.scores import claim, design, drawn, scores

BEATS = claim("beats", cell="b", over="a")
FAILS = claim("fails", cell="a")
ORDERING = claim("ordering", cells=["c", "b", "a"])
MONOTONE = claim("monotone", cells=["a", "b", "c"])
PLATEAU = claim("plateau", cells=["a", "b", "c"])
LEAK = claim("leak", cell="b", over="a")

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
    ("pretext", "knn", "conclusion"),
    [
        (99.0, 30.0, "reproduced"),
        (99.0, 40.0, "not reproduced"),  # a better solved task, and no harm
        (60.0, 30.0, "not reproduced"),  # harm, but no better solved task
    ],
)
def test_a_leak_is_a_pretext_task_solved_by_cheating(
    pretext: float, knn: float, conclusion: str
) -> None:
    shaken = [0.0, 0.2, -0.1]
    knns = {"b": [knn + e for e in shaken], "a": [40.0, 40.1, 40.2], CONTROL: LOW[:3]}
    tasks = {"b": [pretext - e for e in shaken], "a": [70.0, 70.1, 70.2]}
    assert one(LEAK, scores(knns, knn=knns, pretext=tasks), 3).conclusion == conclusion
    assert one(LEAK, scores(knns, knn=knns), 3).conclusion == "incomplete"


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
    assert one(BEATS, above([2.1]), 1).evidence.holds
    assert not one(BEATS, above([2.0]), 1).evidence.holds
    assert one(FAILS, scores({"a": [None], CONTROL: [14.0]}), 1).evidence.holds
    plateau = scores({"a": [40.0], "b": [41.0], "c": [42.5], CONTROL: [14.0]})
    assert not one(PLATEAU, plateau, 1).evidence.holds


def test_what_has_learned_nothing_is_not_compared() -> None:
    flat = scores({"a": [14.1, 15.1, 14.4], "b": [40.0, 41.1, 40.6], CONTROL: LOW[:3]})
    decision = one(BEATS, flat, 3)
    assert decision.conclusion == "unlearned"
    assert [each.statement.cell for each in decision.unlearned] == ["a"]
    assert one(claim("beats", cell="a", over=CONTROL), flat, 3).conclusion == "not reproduced"
    assert one(BEATS, flat, 3, accuracy=False).conclusion == "reproduced"  # of costs: no matter


def test_what_has_perhaps_learned_something_leaves_the_claim_open() -> None:
    values = {"a": [16.0, 22.0, 14.0], "b": [40.0, 40.1, 39.9], CONTROL: LOW[:3]}
    decision = one(BEATS, scores(values), 3)
    assert decision.conclusion == "undecided"
    assert [each.statement.cell for each in decision.unlearned] == ["a"]
    assert needed(decision, design(3)) is not None


def test_a_missing_seed_leaves_the_claim_open() -> None:
    values = {"a": [40.0, 40.0], "b": [50.0, 50.1, 50.2], CONTROL: LOW[:3]}
    assert one(BEATS, scores(values), 3).conclusion == "incomplete"


def test_a_table_with_more_claims_asks_more_of_each() -> None:
    """An interval that is enough for one claim is not for one of four."""
    found = {**above([4.0, 5.0, 4.6, 4.4]), ("judged", "c"): dict(enumerate([30.0, 36, 39, 46]))}
    rest = [claim("beats", name=f"n{n}", cell="c", over="a") for n in range(3)]
    level = one(BEATS, found, 4).level
    many = decide_claims([BEATS, *rest], found, design(4))
    assert (level, many[0].level) == (0.025, 0.025 / 4)
    assert [each.conclusion for each in many] == ["reproduced", *["undecided"] * 3]
    assert many[1].level == 0.025 / 4  # of the wider interval: nothing was found against them


def test_an_undecided_claim_says_how_many_seeds_it_needs() -> None:
    decision = one(BEATS, above([3.0, 4.5, 2.0]), 3)  # 1.17 beyond the margin, deviation 1.26
    assert decision.conclusion == "undecided"
    assert needed(decision, design(3)) == 12
    assert needed(one(BEATS, above([2.0, 2.1, 1.9]), 3), design(3)) == furthest(design(3)) + 1
    assert needed(one(BEATS, above([9.0]), 1), design(1)) is None  # no deviation to estimate from
    assert needed(one(BEATS, above([9.0, 9.0]), 2), design(2)) is None  # it is decided
    few = design(3, 5)
    assert needed(one(BEATS, above([3.0, 4.5, 2.0]), 3, most=5), few) == furthest(few) + 1 == 6


def test_seeds_that_are_added_decide_and_what_is_decided_stays() -> None:
    early = [3.6, 5.1, 4.2]
    later = [*early, 4.0, 4.4]
    other = claim("beats", name="other", cell="c", over="a")
    c = {0: 45.0, 1: 50.2, 2: 54.9}
    first = decide_claims([BEATS, other], {**above(early), ("judged", "c"): c}, design(3, 5))
    assert [each.conclusion for each in first] == ["undecided", "reproduced"]
    second = decide_claims([BEATS, other], {**above(later), ("judged", "c"): c}, design(3, 5))
    assert [each.conclusion for each in second] == ["reproduced", "reproduced"]
    assert [each.seeds for each in second] == [5, 3]
    assert second[1] == first[1]


TABLE = [
    claim("fails", name="one", cell="zero"),
    claim("beats", name="two", cell="c", over="a"),
    claim("ordering", name="three", cells=["c", "b", "a"]),
    claim("monotone", name="four", cells=["a", "b", "c"]),
    claim("plateau", name="five", cells=["b", "c", "d"]),
    claim("beats", name="six", cell="d", over="a"),
]
EQUAL = {CONTROL: 15.0, "zero": 15.0, "a": 40.0, "b": 40.0, "c": 40.0, "d": 40.0}
EDGE = {**EQUAL, "zero": 17.0, "c": 42.0, "d": 42.0}
"""Every difference that matters lies at the margin: the easiest to be wrong about."""
BEYOND = {**EDGE, "zero": 17.001, "c": 42.001, "d": 42.001, "b": 40.0}


def truth(means: dict[str, float], margin: float = 2.0) -> list[bool]:
    a, b, c, d = (means[cell] for cell in "abcd")
    return [
        means["zero"] - means[CONTROL] <= margin,
        c - a > margin,
        c > b > a,
        b - a > -margin and c - b > -margin and c - a > margin,
        max(b, c, d) - min(b, c, d) < margin,
        d - a > margin,
    ]


def wrong(means: dict[str, float], by: Design, tables: int) -> int:
    """In how many of so many simulated tables any verdict is false."""
    chance = random.Random(20)
    said = [("not reproduced" if true else "reproduced") for true in truth(means)]
    count = 0
    for _ in range(tables):
        decisions = decide_claims(TABLE, drawn(means, len(by.seeds), chance), by)
        count += any(r.conclusion == false for r, false in zip(decisions, said, strict=True))
    return count


@pytest.mark.parametrize(
    ("means", "by"),
    [
        (EQUAL, design(3)),
        (EQUAL, design(5)),
        (EDGE, design(3)),
        (EDGE, design(5)),
        (EDGE, design(3, 8)),
        (BEYOND, design(5)),
        (BEYOND, design(3, 8)),
    ],
)
def test_at_most_one_null_table_in_twenty_has_any_false_verdict(
    means: dict[str, float], by: Design
) -> None:
    assert wrong(means, by, 1000) <= 50


def test_without_correction_there_would_be_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """That the simulation can fail."""
    from harness.report import decision_rule as module
    from harness.report.statistics import Step

    monkeypatch.setattr(module, "holm", lambda ps, level: [Step(p <= level, level) for p in ps])
    assert wrong(EDGE, design(5), 1000) > 50


def test_what_is_far_from_the_margin_is_found() -> None:
    means = {**EQUAL, "zero": 12.0, "b": 50.0, "c": 60.0, "d": 52.0}
    chance = random.Random(4)
    expected = ["reproduced" if true else "not reproduced" for true in truth(means)]
    right = [0] * len(TABLE)
    for _ in range(200):
        decisions = decide_claims(TABLE, drawn(means, 6, chance), design(6))
        for n, decision in enumerate(decisions):
            right[n] += decision.conclusion == expected[n]
    assert min(right) > 190
