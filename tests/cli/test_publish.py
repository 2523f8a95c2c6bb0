"""Publishing a table, reading it again, and setting two beside each other, as a user does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Once


@pytest.fixture
def scale(place: Path, tiny: Path, moco: Any, once: Once) -> Path:
    """A table of one cell that has been run."""
    (place / "recipes").mkdir()
    path = Path("recipes") / "scale.yaml"
    path.write_text(
        f"ablation: momentum\nrecipe: ../{tiny}\ncells: [m0.9]\nmetric: knn/top1\nmargin: 1\n"
        "set: {optim.epochs: 1, linear: null}\n"
    )

    def run() -> None:
        assert moco("run", path).code == 0

    once(run)
    return path


def test_a_published_report_is_made_again_to_the_byte(moco: Any, scale: Path) -> None:
    said = moco("publish", scale)
    assert said.code == 0, said.all
    assert said.out.splitlines() == ["reports/scale/report.md", "reports/README.md"]
    folder = Path("reports/scale")
    mark = json.loads((folder / "runs/published.json").read_text())
    assert mark["recipe"] == "recipes/scale.yaml"
    assert len(list(folder.glob("runs/*/look.json"))) == 3, "of both stages, and of the control"
    assert list(folder.glob("pictures/neighbours-1-*.png"))
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    (command,) = [
        line.split()
        for line in Path("reports/README.md").read_text().splitlines()
        if line.startswith("moco-harness report ")
    ]
    assert moco(*command[1:]).code == 0
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
    assert moco("verify").code == 0
    (folder / "report.md").write_text("worn")
    assert moco("publish").code == 0
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


def test_two_run_roots_and_two_reports_side_by_side(moco: Any, scale: Path) -> None:
    assert moco("publish", scale).code == 0
    said = moco("report", scale, "--compare", "runs", "reports/scale/runs", "--out", "both")
    assert said.code == 0, said.all
    assert "0 (identical, 1 seed)" in said.out
    assert "A: runs" in said.out
    found = json.loads(Path("both/comparison.json").read_text())
    assert {pair["metric"] for pair in found} == {"knn/top1"}
    assert Path("both/comparison.md").exists()
    assert Path("both/comparison.html").exists()
    reports = moco("report", "--compare", "runs/reports/scale", "reports/scale/results.json")
    assert reports.code == 0, reports.all
    assert "0 (identical, 1 seed)" in reports.out
    again = ("report", "--compare", "runs/reports/scale", "reports/scale", "--out", "both")
    assert moco(*again).code == 0
    Path("both/comparison.json").write_text("[1]")
    refused = moco(*again)
    assert refused.code == 2
    assert "comparison.json" in refused.err
    assert Path("both/comparison.json").read_text() == "[1]"


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("report",), 2, "name a recipe"),
        (("report", "--compare", "nowhere", "runs"), 1, "nowhere: "),
        (("report", "--compare", ".", "."), 1, ".: a run root"),
        (("report", "quickstart", "--watch", "--compare", ".", "."), 2, "--compare"),
        (("report", "--compare", ".", ".", "--runs", "x"), 2, "--runs, --site and --data"),
        (("report", "--compare", ".", ".", "--site", "x"), 2, "--runs, --site and --data"),
        (("report", "--compare", ".", ".", "--data", "x"), 2, "and --data"),
        (("publish", "nowhere.yaml"), 2, "nowhere.yaml"),
    ],
)
def test_mistakes(moco: Any, place: Path, words: tuple[str, ...], code: int, why: str) -> None:
    assert place.exists()
    said = moco(*words)
    assert said.code == code
    assert why in " ".join(said.all.replace("│", " ").split())


def test_publishing_before_there_is_a_result(moco: Any, place: Path, tiny: Path) -> None:
    said = moco("publish", tiny)
    assert said.code == 4
    assert "there is nothing to publish" in said.err
    assert not (place / "reports").exists()


def test_watching_what_is_over_ends_at_once(moco: Any, scale: Path) -> None:
    said = moco("report", scale, "--watch")
    assert said.code == 0, said.all
    assert "m0.9 (seed 0): knn/top1 " in said.out
    assert said.out.splitlines()[-1] == "report: runs/reports/scale/report.html"
