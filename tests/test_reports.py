"""The committed reports: each is what its committed records give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.app.verifying import changed_overview, verify
from harness.report.claims_picture import FILE as PICTURE
from harness.report.index import published_reports

REPORTS = Path(harness.__file__).parent.parent / "reports"


def results_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


def runs_of(folder: Path) -> list[dict[str, Any]]:
    return [run for cell in results_of(folder)["cells"] for run in cell["runs"]]


@pytest.mark.parametrize("folder", published_reports(REPORTS), ids=lambda path: path.name)
def test_a_committed_report_is_what_its_records_give(folder: Path) -> None:
    found = verify(folder)
    assert not found.differing
    assert not found.files.differs
    assert found.made > 5


@pytest.mark.parametrize("folder", published_reports(REPORTS), ids=lambda path: path.name)
def test_each_run_of_a_committed_report_is_whole_or_not_made(folder: Path) -> None:
    """Thinned journals still hold what the results repeat, and no run is published half done."""
    for run in runs_of(folder):
        states = {stage["state"] for stage in run["stages"].values()}
        assert states <= {"finished", "diverged"} or states == {"absent"}


@pytest.mark.parametrize("folder", published_reports(REPORTS), ids=lambda path: path.name)
def test_a_committed_report_that_lacks_runs_calls_itself_incomplete(folder: Path) -> None:
    """A table may be published before it is whole; then a claim that lacks a run is not judged."""
    found = results_of(folder)
    lacking = {
        cell["id"]
        for cell in found["cells"]
        for run in cell["runs"]
        for stage in run["stages"].values()
        if stage["state"] == "absent"
    }
    for claim in found["claims"]:
        uses = {cell for one in claim["comparisons"] for cell in (one["cell"], one["over"])}
        assert (claim["verdict"] == "incomplete") == bool(uses & lacking)
    assert not found["not_of_this_table"]


def test_the_page_and_its_picture_are_of_the_committed_reports() -> None:
    assert changed_overview(REPORTS) == []


@pytest.mark.parametrize("folder", published_reports(REPORTS), ids=lambda path: path.name)
def test_a_committed_report_says_whether_it_was_fixed_before_its_runs(folder: Path) -> None:
    assert results_of(folder)["preregistered"] is not None


def test_the_readme_shows_the_picture() -> None:
    readme = (REPORTS.parent / "README.md").read_text(encoding="utf-8")
    assert f"(reports/{PICTURE})" in readme
    assert (REPORTS / PICTURE).is_file()


def test_the_same_runs_on_two_machines_have_the_same_numbers() -> None:
    """The runs of one cell stand in three tables, which were made on two machines."""
    named = {
        "momentum": "m0.99",
        "mechanisms_twins": "moco-1024",
        "shuffling_groups": "moco-shuffled-8",
    }
    made = []
    for name, wanted in named.items():
        cells = results_of(REPORTS / f"ablation_{name}_cpu")["cells"]
        (cell,) = (each for each in cells if each["id"] == wanted)
        made.append(
            {
                (run["seed"], stage): {
                    k: v for k, v in said["values"].items() if not k.startswith("cost/")
                }
                for run in cell["runs"]
                for stage, said in run["stages"].items()
            }
        )
    shared = made[0].keys() & made[1].keys() & made[2].keys()
    assert {seed for seed, _ in shared} == {*range(100, 106)}
    assert {stage for _, stage in shared} == {"pretrain", "knn"}
    for key in shared:
        assert made[0][key] == made[1][key] == made[2][key]
    probes = {(seed, "linear") for seed in range(100, 106)}
    assert {key: made[0][key] for key in probes} == {key: made[1][key] for key in probes}
