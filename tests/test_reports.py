"""The committed reports: each is what its committed records give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness
from harness.app.verifying import changed_overview, verify
from harness.report.claims_picture import FILE as PICTURE
from harness.report.index import published_reports

REPORTS = Path(harness.__file__).parent.parent / "reports"


@pytest.mark.parametrize("folder", published_reports(REPORTS), ids=lambda path: path.name)
def test_a_committed_report_is_what_its_records_give(folder: Path) -> None:
    found = verify(folder)
    assert not found.differing
    assert not found.files.differs
    assert found.made > 5


@pytest.mark.parametrize("folder", published_reports(REPORTS), ids=lambda path: path.name)
def test_no_record_of_a_committed_report_is_damaged(folder: Path) -> None:
    """Thinned journals still hold what the results repeat."""
    states = {
        stage["state"]
        for cell in json.loads((folder / "results.json").read_text())["cells"]
        for run in cell["runs"]
        for stage in run["stages"].values()
    }
    assert states <= {"finished", "diverged"}


@pytest.mark.parametrize("folder", published_reports(REPORTS), ids=lambda path: path.name)
def test_a_committed_report_has_all_its_runs(folder: Path) -> None:
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    states = {run["stages"]["pretrain"]["state"] for cell in found["cells"] for run in cell["runs"]}
    assert states <= {"finished", "diverged"}
    assert not found["not_of_this_table"]


def test_the_page_and_its_picture_are_of_the_committed_reports() -> None:
    assert changed_overview(REPORTS) == []


@pytest.mark.parametrize("folder", published_reports(REPORTS), ids=lambda path: path.name)
def test_a_committed_report_says_whether_it_was_fixed_before_its_runs(folder: Path) -> None:
    assert json.loads((folder / "results.json").read_text())["preregistered"] is not None


def test_the_readme_shows_the_picture() -> None:
    readme = (REPORTS.parent / "README.md").read_text(encoding="utf-8")
    assert f"(reports/{PICTURE})" in readme
    assert (REPORTS / PICTURE).is_file()
