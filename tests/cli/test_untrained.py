"""The untrained network beside a single recipe, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cli.tiny import TINY
from harness.errors import TargetMissed
from harness.plan import make_plan

BESIDE = TINY.replace(", control: false", "").replace(
    "epochs: 3, batch: 64", "epochs: 1, batch: 64"
)
TARGET = "about: {targets: [{metric: knn/top1, value: 1.0, tolerance: 0.5, source: a test}]}\n"
LOW = "not above the untrained network"


def test_the_plan_names_the_control_and_what_leaves_it_out(moco: Any, place: Path) -> None:
    (place / "tiny.yaml").write_text(BESIDE)
    said = moco("plan", "tiny.yaml")
    assert "untrained-miniature-embedded" in said.out
    assert "control: " in said.out
    said = moco("plan", "tiny.yaml", "--set", "watch.control=false")
    assert "untrained" not in said.out
    assert "control" not in said.out


def test_weights_that_learnt_nothing_are_said_to_everywhere(moco: Any, place: Path) -> None:
    """Given weights that are those of the control."""
    text = BESIDE.replace("name: tiny\n", "").replace("epochs: 2", "epochs: 0")
    (place / "none.yaml").write_text(f"name: none\n{text}")
    untrained = make_plan(place / "none.yaml", [], place / "runs")
    assert untrained.control is None
    assert moco("run", "none.yaml", "--yes").code == 0
    given = f"backbone: miniature, weights: {{run: {untrained.stages[0].id}}}"
    text = text.replace("backbone: miniature", given)
    (place / "given.yaml").write_text(f"name: given\n{text}{TARGET}")
    run = moco("run", "given.yaml", "--yes")
    assert run.code == 0, run.all
    assert [
        line for line in run.out.splitlines()[-3:] if line.startswith("WARNING") and LOW in line
    ]
    made = make_plan(place / "given.yaml", [], place / "runs")
    knn = next(stage for stage in made.stages if stage.name == "knn")
    told = [line for line in moco("status", "--all").out.splitlines() if LOW in line]
    assert [line for line in told if line.startswith(knn.id)] == told
    checked = moco("check", "given.yaml")
    assert checked.code == TargetMissed.exit_code
    assert LOW in checked.out
    report = (place / "runs/reports/given/report.md").read_text()
    assert LOW in report.lower()
    results = json.loads((place / "runs/reports/given/results.json").read_text())
    assert [cell["id"] for cell in results["cells"]] == ["given", "untrained"]
