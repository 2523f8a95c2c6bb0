"""The quickstart's science, from README's command to the numbers of its report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.recipe.load import load_scale

RECIPE = Path(harness.__file__).parent.parent / "recipes" / "quickstart.yaml"
CHANCE = 10.0
"""Percent, with ten classes."""


@pytest.mark.slow
def test_the_quickstart_shows_what_it_promises(tmp_path: Path) -> None:
    """One test, as it takes 40 seconds: the numbers are kNN top-1 in percent, of one seed."""
    command = [sys.executable, "-m", "harness.cli", "run", str(RECIPE), "--runs", str(tmp_path)]
    subprocess.run([*command, "--device", "cpu", "--yes"], check=True)
    results = json.loads((tmp_path / "reports/quickstart/results.json").read_text())
    found = {
        cell["id"]: cell["metrics"]["knn/top1"]["summary"]["mean"]
        for cell in results["cells"]
        if cell["runs"]
    }
    untrained = found["untrained"]
    assert CHANCE < untrained < 30, found
    assert found["m0.99"] >= untrained + 15, found
    assert found["m0"] <= untrained + (load_scale(RECIPE).margin or 0.0), "m = 0 fails"
    verdicts = {claim["id"]: claim["verdict"] for claim in results["claims"]}
    for claim in ("zero-fails", "slow-beats-fast", "training-helps"):
        assert verdicts[claim] == "looks reproduced (one seed)", results["claims"]
