"""Processes that cannot share a task's batch are refused before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cli.tiny import TINY

import harness
from harness.errors import HarnessError

TASKS = """
tasks:
  det: {kind: detection, detector: small, boxes: {name: scenes, images: 8, tested: 2, size: 24},
    steps: 1, batch: 4, lr: 0.02, schedule: {kind: constant}}
  ft: {kind: finetune, epochs: 1, batch: 6, lr: 0.05, schedule: {kind: constant}}
"""


@pytest.mark.parametrize(
    ("processes", "refused"), [(1, []), (2, []), (4, ["det", "ft"]), (3, ["det"])]
)
def test_before_pre_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, refused: list[str]
) -> None:
    monkeypatch.setenv("MOCO_HARNESS_DEVICE", "cpu")
    path = tmp_path / "tiny.yaml"
    path.write_text(f"{TINY}{TASKS}")
    site = replace(harness.load_site(runs=tmp_path / "runs"), processes=processes)
    plan = harness.app.plan(path, site, on="here")
    said = ""
    try:
        harness.app.planning.refuse(plan, site, here=True)
    except HarnessError as error:
        said = str(error)
    assert [line.partition(": ")[0] for line in said.splitlines()] == [
        f"tasks.{name}.batch" for name in refused
    ]
    if refused:
        with pytest.raises(HarnessError, match=r"tasks\.det\.batch"):
            harness.app.run(path, site)
        assert not list((tmp_path / "runs").glob("*pretrain*"))
