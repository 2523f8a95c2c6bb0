"""What differs between two sets of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.report.markdown import render
from harness.report.read_report import read_report
from harness.report.results_json import Report
from harness.report.side_by_side import common_cells, compare, pairs
from harness.report.what_differs import (
    Differing,
    Records,
    read_records,
    short,
    told_apart,
    what_differs,
)
from harness.report.write import write_report
from report.build import OLDER, Bench
from report.conftest import Collected

Told = tuple[Report, Records]


@pytest.fixture
def told(tmp_path: Path, gather: Collected) -> Any:
    """told("a", values, ...): the report and the records of a table with these values of m0.9."""

    def make(name: str, values: dict[int, float], *, more: Any = None, **changes: Any) -> Told:
        bench = Bench(tmp_path / name, tuple(values), **changes)
        for seed, value in values.items():
            bench.finish("m0.9", seed, value, **(more or {}))
        place = bench.runs / "reports" / "tiny"
        write_report(gather(bench), place)
        report = read_report(place)
        return report, read_records(report, (place / "runs", place.parent.parent))

    return make


def differences(a: Told, b: Told) -> dict[str, Differing]:
    found = what_differs(a[0], b[0], (a[1], b[1]), common_cells(a[0], b[0]))
    return {each.what: each for each in found}


def test_recipe_fields_have_their_labels_and_lead(told: Any) -> None:
    a = told("a", {0: 30.0})
    b = told("b", {0: 31.0}, recipe_changes={"contrast__momentum": 0.5, "optim__lr": 0.1})
    found = differences(a, b)
    assert list(found)[:2] == ["learning rate", "momentum m"] or set(list(found)[:2]) == {
        *("learning rate", "momentum m")
    }
    assert (found["momentum m"].a, found["momentum m"].b) == ("0.9", "0.5")
    assert found["momentum m"].of_recipe
    text = render(compare(a[0], b[0], ("x", "y"), (a[1], b[1])))
    assert "m = 0.9" in text.splitlines()[0]
    assert "m = 0.5" in text.splitlines()[0]
    assert text.index("momentum m") < text.index("## Table")


def test_code_data_threads_and_libraries(told: Any) -> None:
    a = told("a", {0: 30.0})
    machine = {"host": "node7", "device": "cpu", "cores": 8, "threads": 2}
    said = {"machine": machine, "packages": {"torch": "2.12.0", "numpy": "2.3.1"}}
    b = told("b", {0: 31.0}, more={"edition": OLDER, "fingerprint": "ffff", "provenance": said})
    found = differences(a, b)
    assert (found["threads"].a, found["threads"].b) == ("4", "2")
    assert (found["torch"].a, found["torch"].b) == ("2.11.0", "2.12.0")
    assert found["data fingerprint"].b == "ffff"
    assert "edition" in found
    assert not {"numpy", "cores", "device", "Python"} & set(found)
    assert told_apart([*found.values()])[0].startswith("edition = ")


def test_evaluations_are_named_by_their_paths(told: Any) -> None:
    a, b = told("a", {0: 30.0}), told("b", {0: 31.0}, recipe_changes={"linear__epochs": 17})
    assert differences(a, b)["linear.epochs"].b == "17"


def test_equal_sets_differ_in_nothing(told: Any) -> None:
    a, b = told("a", {0: 30.0}), told("b", {0: 30.0})
    assert differences(a, b) == {}
    assert "Nothing that is recorded differs" in render(
        compare(a[0], b[0], ("x", "y"), (a[1], b[1]))
    )


def test_records_that_are_not_at_hand(told: Any, tmp_path: Path) -> None:
    a = told("a", {0: 30.0})
    nowhere = read_records(a[0], (tmp_path / "none",))
    assert nowhere == Records()
    text = render(compare(a[0], a[0], ("x", "y"), (nowhere, nowhere)))
    assert "not compared field by field" in text


def test_welch_where_no_seeds_are_shared(told: Any) -> None:
    a, b = told("a", {0: 30.0, 1: 31.0, 2: 32.0}), told("b", {5: 40.0, 6: 41.0, 7: 45.0})
    pair = next(p for p in pairs(a[0], b[0]) if (p.cell, p.metric) == ("m0.9", "knn/top1"))
    assert pair.how == "Welch"
    assert pair.difference is not None
    assert pair.difference.mean == pytest.approx(11.0)
    assert pair.difference.low is not None


def test_single_runs_of_other_names_are_one_pair() -> None:
    def report(*cells: str) -> Report:
        return {"cells": [{"id": cell} for cell in cells]}

    assert common_cells(report("a", "untrained"), report("b", "untrained")) == [
        *(("a", "b"), ("untrained", "untrained"))
    ]
    assert common_cells(report("a", "untrained"), report("b")) == [("a", "b")]
    assert common_cells(report("a", "c"), report("b", "c")) == [("c", "c")]


def test_letters_of_the_papers_stand_before_values() -> None:
    labels = ("momentum m", "negatives, K", "temperature τ", "learning rate")
    assert [short(each) for each in labels] == ["m", "K", "τ", "learning rate"]
