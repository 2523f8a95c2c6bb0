"""Given weights as rows: below the untrained network, or in a printed row that is not run."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from harness.recipe.ablation import CONTROL
from harness.report.claims import judge
from harness.report.collect import Results
from harness.report.curves_figure import curves_figures
from harness.report.document import compose
from harness.report.markdown import render
from harness.report.results_table import results_table
from harness.report.scale import traits
from harness.report.table_text import text
from harness.report.write import write_report
from report.conftest import Collected, Make

CELLS = [
    {"id": "supervised", "label": "supervised", "set": None, "printed": 76.5},
    {"id": "m0.9", "label": "0.9", "set": {}, "printed": 55.2},
]
GIVEN = "weights: w.pth, md5 00000000"
"""As the recipe says it; the digest that was found is a newer result's."""
CONTROLS = [
    {"id": "supervised", "label": "not shown", "recipe": "supervised.yaml"},
    {"id": "released", "label": "released, v1", "recipe": "released.yaml"},
]


@pytest.fixture
def results(make: Make, gather: Collected) -> Results:
    bench = make(
        (0, 1),
        ablation_changes={"cells": CELLS, "claims": [], "axis": "momentum, m"},
        scale_changes={"controls": CONTROLS},
    )
    for cell, value in ((CONTROL, 14.0), ("m0.9", 40.0), ("supervised", 70.0), ("released", 60.0)):
        for seed in bench.seeds:
            bench.finish(cell, seed, value)
    return gather(bench)


def test_rows(results: Results) -> None:
    rows = [
        (*(text(cell).text for cell in row.cells[:3]), row.emphasis)
        for row in results_table(results).rows
    ]
    assert rows == [
        (f"supervised\n{GIVEN}", "76.5", "70.00 ± 0.00 (n = 2)", True),
        ("0.9", "55.2", "40.00 ± 0.00 (n = 2)", False),
        ("untrained network", "–", "14.00 ± 0.00 (n = 2)", True),
        (f"released, v1\n{GIVEN}", "–", "60.00 ± 0.00 (n = 2)", True),
    ]
    assert not results.warnings


def test_they_are_in_every_form_of_the_report(results: Results, tmp_path: Any) -> None:
    write_report(results, tmp_path)
    for name in ("report.md", "report.html", "report.tex"):
        assert "released, v1" in (tmp_path / name).read_text(), name
        assert GIVEN in (tmp_path / name).read_text(), name
    for name in ("table.csv", "runs.csv"):
        rows = list(csv.DictReader(io.StringIO((tmp_path / name).read_text())))
        given = {row["cell"] for row in rows if row["weights"] == "w.pth md5:00000000"}
        assert given == {"supervised", "released"}, name
        assert all(not row["weights"] for row in rows if row["cell"] not in given), name
    found = json.loads((tmp_path / "results.json").read_text())
    given = {cell["id"] for cell in found["cells"] for run in cell["runs"] if run["weights"]}
    assert given == {"supervised", "released"}
    below = (tmp_path / "report.tex").read_text().partition("\\midrule\nuntrained network")[2]
    assert below.count("\\midrule", 0, below.index("\\bottomrule")) == 0


def test_they_are_no_curve_and_no_trait_of_the_table(results: Results) -> None:
    for figure in curves_figures(results):
        assert {each.label for each in figure.data} <= {"0.9", "untrained network"}
    epochs = next(trait for trait in traits(results) if trait.what == "epochs")
    assert epochs.here == "10"
    assert "This scale has no untrained control" not in render(compose(results, judge(results)))
