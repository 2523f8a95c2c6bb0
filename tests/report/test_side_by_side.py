"""Two reports beside each other: paired by seed, nothing compared that was measured otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_regressions.file_regression import FileRegressionFixture

from harness.errors import StoreError
from harness.recipe.ablation import CONTROL
from harness.report.markdown import render
from harness.report.read_report import read_report
from harness.report.results_json import Report
from harness.report.side_by_side import Pair, compare, pairs
from harness.report.write import write_report
from report.build import OLDER, Bench
from report.conftest import Collected

Side = Callable[..., tuple[Bench, Callable[[], Report]]]


@pytest.fixture
def side(tmp_path: Path, gather: Collected) -> Side:
    """side("a", ...): a bench of its own, and what its report says once it is filled."""

    def make(name: str, **changes: object) -> tuple[Bench, Callable[[], Report]]:
        bench = Bench(tmp_path / name, (0, 1, 2), **changes)  # type: ignore[arg-type]

        def read() -> Report:
            write_report(gather(bench), tmp_path / f"{name}-report")
            return read_report(tmp_path / f"{name}-report")

        return bench, read

    return make


def knn(a: Report, b: Report) -> dict[str, Pair]:
    return {pair.cell: pair for pair in pairs(a, b) if pair.metric == "knn/top1"}


def test_seeds_are_paired(side: Side) -> None:
    (a, read_a), (b, read_b) = side("a"), side("b")
    for seed, value in enumerate((30.0, 40.0, 50.0)):
        a.finish("m0.9", seed, value)
        b.finish("m0.9", seed, value + 1 + 0.1 * seed)
        a.finish("m0.99", seed, value)
        b.finish("m0.99", seed, value)
    found = knn(read_a(), read_b())
    assert found["m0.9"].difference is not None
    assert found["m0.9"].difference.mean == pytest.approx(1.1)
    assert found["m0.9"].difference.sd == pytest.approx(0.1)
    assert (found["m0.9"].identical, found["m0.99"].identical) == (False, True)


def test_a_seed_that_one_lacks_is_in_no_difference(side: Side) -> None:
    (a, read_a), (b, read_b) = side("a"), side("b")
    a.finish("m0.9", 0, 30.0)
    a.finish("m0.9", 1, 80.0)
    b.finish("m0.9", 0, 31.0)
    b.diverge("m0.9", 1)
    pair = knn(read_a(), read_b())["m0.9"]
    assert pair.difference is not None
    assert (pair.difference.n, pair.difference.mean) == (1, 1.0)
    assert pair.apart == (1,)
    assert pair.states == ("1 not run", "1 diverged, 1 not run")


def test_other_protocols_are_not_compared(side: Side) -> None:
    (a, read_a), (b, read_b) = side("a"), side("b", recipe_changes={"knn__k": [20]})
    for bench in (a, b):
        bench.finish("m0.9", 0, 40.0)
    pair = knn(read_a(), read_b())["m0.9"]
    assert pair.otherwise
    assert pair.difference is None


def test_results_on_other_data_are_not_compared(side: Side) -> None:
    (a, read_a), (b, read_b) = side("a"), side("b")
    for bench in (a, b):
        bench.finish("m0.9", 0, 40.0)
    one, other = read_a(), read_b()
    assert knn(one, other)["m0.9"].difference is not None
    other["scale"]["data"] = ["cifar10", "embedded"]  # a further task read it
    assert knn(one, other)["m0.9"].difference is not None
    for cell in other["cells"]:
        cell["data"] = ["cifar10"]
    pair = knn(one, other)["m0.9"]
    assert pair.otherwise == "other data"
    assert pair.difference is None


def test_further_tasks_are_compared_by_their_names(side: Side) -> None:
    """A seed's value is the mean of its trials; two tasks of one kind stay two."""
    two = {"again": {"kind": "knn", "k": [20], "trials": 2}, "more": {"kind": "knn", "k": [10]}}
    (a, read_a), (b, read_b) = (side(name, recipe_changes={"tasks": two}) for name in "ab")
    for bench, shift in ((a, 0.0), (b, 1.0)):
        for seed in (0, 1):
            bench.finish("m0.9", seed, 40.0)
            for trial, name in enumerate(("again", "again=t1")):
                values = {"knn/top1": 30.0 + 2 * trial + seed + shift}
                bench.stage("m0.9", seed, name, values)
            bench.stage("m0.9", seed, "more", {"knn/top1": 20.0 + seed})
    one, other = read_a(), read_b()
    found = {pair.task: pair for pair in pairs(one, other) if pair.cell == "m0.9"}
    assert found["again"].a is not None
    assert found["again"].a.mean == 31.5
    assert {task: pair.difference and pair.difference.mean for task, pair in found.items()} == {
        "": 0.0,
        "again": 1.0,
        "more": 0.0,
    }
    assert "again: kNN top-1, %" in render(compare(one, other, ("here", "there")))


def test_the_page(side: Side, file_regression: FileRegressionFixture) -> None:
    (a, read_a), (b, read_b) = side("a"), side("b")
    for seed in (0, 1, 2):
        for cell, value in ((CONTROL, 14.0), ("m0.9", 38.0), ("m0.99", 44.0)):
            a.finish(cell, seed, value + 0.1 * seed)
            shift = -7.0 if cell == "m0.99" else 0.0
            machine = {"host": "node8", "device": "NVIDIA H100"}
            b.finish(
                cell,
                seed,
                value + 0.1 * seed + shift + 0.01 * seed * (shift != 0),
                edition=OLDER,
                provenance={"machine": machine},
            )
    a.diverge("m0", 0)
    b.finish("m0", 0, 14.0, edition=OLDER)
    text = render(compare(read_a(), read_b(), ("here", "there")))
    file_regression.check(text, extension=".md", encoding="utf-8")


def test_only_shared_claims_have_a_section(side: Side) -> None:
    a, read = side("a")
    a.finish("m0.9", 0, 30.0)
    one = read()
    other = {**one, "claims": [{**claim, "id": f"not-{claim['id']}"} for claim in one["claims"]]}
    for second, shown in ((one, True), (other, False)):
        made = compare(one, second, ("here", "there"))
        assert ("Claims" in [section.heading for section in made.sections]) == shown


def test_two_tables_without_a_common_cell(side: Side) -> None:
    other: list[dict[str, Any]] = [{"id": "x", "label": "x", "set": {}, "printed": None}]
    _, read_a = side("a", scale_changes={"control": False})
    changes = {"cells": other, "claims": []}
    _, read_b = side("b", ablation_changes=changes, scale_changes={"control": False})
    with pytest.raises(StoreError, match="no common cell and metric"):
        pairs(read_a(), read_b())


@pytest.mark.parametrize("text", ["{}", '{"format": 2}', "[]", '{"form'])
def test_what_is_no_report_of_this_version(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(StoreError, match=r"results\.json"):
        read_report(tmp_path)
    with pytest.raises(StoreError, match="nowhere: "):
        read_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "spoil",
    [
        *({"cells": [{}]}, {"cells": None}, {"scale": []}, {"cost": 1}, {"basis": 1}),
        {"margin": "wide"},
        {"cells": [{"id": "a", "label": "a", "metrics": {}, "data": [], "runs": [{"seed": 0}]}]},
        {"claims": [{"id": "slow"}]},
        {"warnings": [1]},
        {"cost": [{"device": "cpu", "hours": "2"}]},
        {"metric": 7},
    ],
)
def test_a_damaged_report_is_refused(side: Side, tmp_path: Path, spoil: dict[str, object]) -> None:
    _, read = side("a")
    (tmp_path / "results.json").write_text(json.dumps({**read(), **spoil}))
    with pytest.raises(StoreError, match=r"results\.json"):
        read_report(tmp_path)


def test_a_metric_of_a_package_that_is_not_installed(side: Side) -> None:
    a, read = side("a")
    a.finish("m0.9", 0, 30.0)
    one = read()
    for cell in one["cells"]:
        cell["metrics"]["far/away"] = cell["metrics"]["knn/top1"]
    assert pairs(one, read()), "one side has it, which is not compared"
    with pytest.raises(StoreError, match="far/away"):
        pairs(one, one)
