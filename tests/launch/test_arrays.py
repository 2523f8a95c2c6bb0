from __future__ import annotations

import pytest
from launch.plans import full, plan, short

from harness.launch.arrays import arrays, dependency
from harness.store.submission import Array

ALL = "run run run"


def drawn(made: list[Array]) -> list[str]:
    """Each array in a line: "k1 k2 <0" waits for array 0, "<12_3" for a job."""
    return [
        " ".join([*map(short, a.stages), *(f"<{n}" for n in a.after), *(f"<{j}" for j in a.waits)])
        for a in made
    ]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], []),
        (["skip skip skip"], []),
        ([ALL], ["p0", "k0 <0", "l0 <0", "<0 <1 <2"]),
        ([ALL, ALL], ["p0 p1", "k0 k1 <0", "l0 l1 <0", "<0 <1 <2"]),
        (["skip run run", "skip run skip"], ["k0 k1", "l0", "<0 <1"]),
        # A probe that is done, or that there is none, must not shift the elements behind it.
        (
            [ALL, "run run -", ALL],
            ["p0 p2", "p1", "k0 k2 <0", "k1 <1", "l0 l2 <0", "<0 <1 <2 <3 <4"],
        ),
        (["resume run run", "retry run skip"], ["p0", "p1", "k0 <0", "k1 <1", "l0 <0", None]),
        # Parents that are done and parents that are not.
        (["skip run run", ALL], ["p1", "k1 <0", "k0", "l1 <0", "l0", None]),
        (["again again again"], ["p0", "k0 <0", "l0 <0", None]),
    ],
)
def test_plans_as_arrays(runs: list[str], expected: list[str | None]) -> None:
    found = drawn(arrays(plan(*runs), "x", most=9))
    if expected and expected[-1] is None:
        assert found.pop().split() == [f"<{n}" for n in range(len(found))], "the report on all"
        expected = expected[:-1]
    assert found == expected


def test_names_are_the_submissions() -> None:
    made = arrays(plan(ALL), "20261122-101500-ab12cd", most=9)
    assert [array.name for array in made] == [f"moco-20261122-101500-ab12cd-{n}" for n in range(4)]
    assert [array.kind for array in made] == ["pretrain", "knn", "linear", "report"]
    assert made[-1].stages == ()


@pytest.mark.parametrize("most", [1, 2, 3])
def test_arrays_are_chunked(most: int) -> None:
    made = arrays(plan(*[ALL] * 5), "x", most=most)
    assert max(len(array.stages) for array in made) == most
    for array in made[:-1]:
        for above in array.after:
            mine, parents = map(short, array.stages), map(short, made[above].stages)
            assert [s[1:] for s in mine] == [p[1:] for p in parents], "element by element"
    assert sum(len(array.stages) for array in made) == 15


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        # As the parents' array has them: one array behind it.
        ({"p0": "12_0", "p1": "12_1"}, ["k0 k1 <12", "l0 l1 <12", "<0 <1 <12"]),
        # Not so: each behind its own parent.
        (
            {"p0": "12_1", "p1": "12_2"},
            ["k0 <12_1", "k1 <12_2", "l0 <12_1", "l1 <12_2", "<0 <1 <2 <3 <12"],
        ),
        (
            {"p0": "12", "p1": "15_0"},
            ["k0 <12", "k1 <15_0", "l0 <12", "l1 <15_0", "<0 <1 <2 <3 <12 <15"],
        ),
    ],
)
def test_behind_jobs_of_an_earlier_submission(live: dict[str, str], expected: list[str]) -> None:
    made = plan("busy run run", "busy run run")
    jobs = {full(word): job for word, job in live.items()}
    assert drawn(arrays(made, "x", most=9, live=jobs)) == expected


def test_a_report_waits_for_what_others_run_of_its_plan_alone() -> None:
    made = plan("busy busy busy", ALL)
    live = {full("p0"): "7_0", full("k0"): "8_0", "another-s0.pretrain-0": "9"}
    assert drawn(arrays(made, "x", most=9, live=live))[-1] == "<0 <1 <2 <7 <8"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (Array("a", "pretrain", ("p",)), None),
        (Array("a", "knn", ("k",), after=(1,)), "afterok:11"),
        (Array("a", "knn", ("k", "l"), after=(1,)), "aftercorr:11"),
        (Array("a", "knn", ("k",), waits=("7_3",)), "afterok:7_3"),
        (Array("a", "knn", ("k", "l"), waits=("7",)), "aftercorr:7"),
        (Array("a", "report", (), after=(0, 1), waits=("7",)), "afterany:10:11:7"),
    ],
)
def test_dependencies_in_sbatchs_words(array: Array, expected: str | None) -> None:
    assert dependency(array, ["10", "11", "12"]) == expected
