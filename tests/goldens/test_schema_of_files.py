"""Which keys, of which types, the files of a run's folder hold: what other programs may rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest_regressions.data_regression import DataRegressionFixture
from stage.tiny import run, write

OPEN = {"packages", "machine", "recipe", "slurm", "code"}
"""Mappings whose keys are names of other things, or depend on the machine or the checkout."""


@pytest.fixture(autouse=True)
def _deterministic_only_here() -> object:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def shape(value: Any, key: str = "") -> Any:
    """Types in place of values."""
    if isinstance(value, dict):
        if key in OPEN:
            return "mapping"
        return {name: shape(inner, name) for name, inner in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else "list"
    return "null" if value is None else type(value).__name__


def test_the_files_of_a_run(tmp_path: Path, data_regression: DataRegressionFixture) -> None:
    found: dict[str, Any] = {}
    for kind, folder in run(write(tmp_path), tmp_path / "runs").items():
        (attempt,) = folder.attempts()
        lines = (attempt / "metrics.jsonl").read_text().splitlines()
        records = {json.dumps(shape(json.loads(line)), sort_keys=True) for line in lines}
        found[kind] = {
            "stage.json": shape(json.loads((folder.path / "stage.json").read_text())),
            "attempt.json": shape(json.loads((attempt / "attempt.json").read_text())),
            "result.json": shape(json.loads((folder.path / "result.json").read_text())),
            "metrics.jsonl": [json.loads(text) for text in sorted(records)],
        }
    data_regression.check(found)
