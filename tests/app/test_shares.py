"""Processes that cannot share a batch are refused before anything is trained."""

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
    fields = [line.partition(": ")[0] for line in said.splitlines()]
    assert [each for each in fields if each != "optim.batch"] == [
        f"tasks.{name}.batch" for name in refused
    ]
    recipe = plan.stages[0].recipe
    groups = recipe.optim.batch // recipe.model.bn_group
    assert ("optim.batch" in fields) == (groups % processes != 0)
    if refused:
        with pytest.raises(HarnessError, match=r"tasks\.det\.batch"):
            harness.app.run(path, site)
        assert not list((tmp_path / "runs").glob("*pretrain*"))


def test_the_papers_batch_has_eight_groups(tmp_path: Path) -> None:
    site = harness.load_site(runs=tmp_path / "runs", device="cpu")
    for processes, shares in ((8, True), (4, True), (6, False), (16, False)):
        there = replace(site, processes=processes)
        plan = harness.app.plan("moco_v1_imagenet", there, on="here")
        words = [*harness.app.planning._unshareable(plan)]
        assert [word for word in dict.fromkeys(words) if "groups of 32;" in word] == [
            f"optim.batch: {processes} processes cannot share a batch of 256 in batch-norm groups "
            "of 32; use 1, 2, 4, 8 processes. Another batch or group is another experiment"
        ] * (not shares)
