"""The committed reports: each is what its committed records give."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

import harness
from harness.app.publishing import render
from harness.report.index import PAGE, index, published_reports
from harness.report.published import published

REPORTS = Path(harness.__file__).parent.parent / "reports"


def assert_renewed(folder: Path, out: Path) -> None:
    """Everything but the drawings byte for byte; those too where matplotlib is the same."""
    files = {str(path.relative_to(out)): path.read_bytes() for path in render(folder, out)}
    committed = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != "runs"
    }
    assert set(files) == set(committed)
    mark = published(folder / "runs")
    assert mark is not None
    same = mark["matplotlib"] == version("matplotlib")
    for name, content in files.items():
        if same or not name.endswith((".svg", ".html")):
            assert content == committed[name], name
        elif name.endswith(".html"):
            assert without_drawings(content) == without_drawings(committed[name]), name


def without_drawings(page: bytes) -> bytes:
    return re.sub(rb"<svg.*?</svg>", b"", page, flags=re.DOTALL)


@pytest.mark.parametrize("folder", published_reports(REPORTS), ids=lambda path: path.name)
def test_a_committed_report_is_made_again_from_its_records(folder: Path, tmp_path: Path) -> None:
    assert_renewed(folder, tmp_path)


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


@pytest.mark.skipif(not published_reports(REPORTS), reason="nothing is published yet")
def test_the_index_is_of_the_committed_reports() -> None:
    assert (REPORTS / PAGE).read_text(encoding="utf-8") == index(REPORTS)
