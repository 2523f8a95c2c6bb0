"""CSV: a line for each cell and metric, and for each run and metric."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from pytest_regressions.file_regression import FileRegressionFixture

from harness.recipe.ablation import CONTROL
from harness.report import spreadsheet
from report.build import OLDER, momentum
from report.conftest import Collected, Make


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_momentum_table(
    runs: Path, gather: Collected, file_regression: FileRegressionFixture
) -> None:
    text = spreadsheet.table(gather(momentum(runs)))
    file_regression.check(text, extension=".csv", encoding="utf-8")


def test_every_run_says_where_it_is_from(runs: Path, gather: Collected) -> None:
    rows = read(spreadsheet.runs(gather(momentum(runs))))
    assert len(rows) == 5 * 3 * 2
    (row,) = [r for r in rows if (r["cell"], r["seed"], r["metric"]) == ("m0.9", "1", "knn/top1")]
    assert row["state"] == "finished"
    assert float(row["value"]) == 38.5
    assert row["stage"].startswith("tiny.m0.9-s1.knn-")
    assert row["commit"] == "0123456789abcdef" * 2
    assert row["hours"] == "0.05"


def test_what_is_no_result_has_its_state_and_reason(make: Make, gather: Collected) -> None:
    bench = make((0, 1, 2, 3))
    bench.finish("m0.9", 0, 40.0)
    bench.finish("m0.9", 1, 80.0, edition=OLDER)
    bench.diverge("m0.9", 2)
    found = gather(bench)
    rows = [r for r in read(spreadsheet.runs(found)) if r["cell"] == "m0.9"]
    told = [(r["state"], r["value"], r["detail"]) for r in rows if r["metric"] == "knn/top1"]
    assert told == [
        ("finished", "40", ""),
        ("stale", "80", f"of edition {OLDER}"),
        ("diverged", "", "the loss is nan at step 94"),
        ("absent", "", ""),
    ]
    cell = next(r for r in read(spreadsheet.table(found)) if r["cell"] == "m0.9")
    assert (cell["seeds"], cell["n"], cell["mean"], cell["deviation"]) == ("4", "1", "40", "")


def test_a_number_that_the_paper_prints_beside_stands_with_its_metric(
    make: Make, gather: Collected
) -> None:
    beside = {"label": "kNN", "numbers": "x", "metric": "knn/top1", "values": {"m0.9": 51.5}}
    bench = make(ablation_changes={"columns": [beside]})
    bench.finish("m0.9", 0, 40.0, 50.0)
    rows = [r for r in read(spreadsheet.table(gather(bench))) if r["cell"] == "m0.9"]
    assert {r["metric"]: r["printed"] for r in rows} == {"knn/top1": "51.5", "linear/top1": "55.2"}


def test_a_further_task_has_its_means(make: Make, gather: Collected) -> None:
    bench = make((0, 1), recipe_changes={"tasks": {"again": {"kind": "knn", "k": [20]}}})
    for cell, value in (("m0.9", 40.0), (CONTROL, 10.0)):
        for seed in bench.seeds:
            bench.finish(cell, seed, value)
            bench.stage(cell, seed, "again", {"knn/top1": value - 5 + seed})
    rows = {(r["cell"], r["metric"]): r for r in read(spreadsheet.table(gather(bench)))}
    found = rows["m0.9", "again: knn/top1"]
    assert (found["printed"], found["n"], found["mean"]) == ("", "2", "35.5")
    assert found["to_untrained"] == "30"
    assert "k 20" in found["measured"]
    assert rows["m0.9", "knn/top1"]["mean"] == "40"


def test_a_label_with_commas_and_quotes_is_one_field(make: Make, gather: Collected) -> None:
    cells = [{"id": "m0.9", "label": 'a, "b"\nc', "set": {}, "printed": 1.0}]
    rows = read(spreadsheet.table(gather(make(ablation_changes={"cells": cells, "claims": []}))))
    assert rows[0]["label"] == 'a, "b" c'
