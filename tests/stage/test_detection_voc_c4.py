"""The shipped recipe of detection on VOC with R50-C4, for a few steps on VOC's own layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.tiny import Process
from data.box_layouts import voc
from gloo import Pool

from harness.certify.trajectory import largest_difference
from harness.store import journal
from harness.store.layout import StageFolder

from .finetuned import RECIPES, VOC_C4, voc_c4_in_float64
from .test_trainable import ALONE
from .tiny import final_state, same

pytestmark = pytest.mark.slow

WAIT_S = 900.0
"""A step takes seconds on an idle core, a minute on a busy one."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VOC 2007 and 2012 in miniature."""
    root = tmp_path_factory.mktemp("data")
    for year in (2007, 2012):
        voc(root, year)
    return root


def start(data: Path, runs: Path) -> Process:
    words = ["run", str(RECIPES / "detection_voc_c4.yaml"), "--data", str(data), "--yes"]
    words += ["--device", "cpu", "--runs", str(runs)]
    words += [word for each in VOC_C4 for word in ("--set", each)]
    return Process(words, runs.with_suffix(".txt"))


def detection(runs: Path) -> StageFolder | None:
    return next((StageFolder(path) for path in runs.glob("*.voc-*")), None)


def test_two_processes_lose_what_one_does(data: Path, gloo: Pool) -> None:
    expected = voc_c4_in_float64(ALONE, data)
    assert len(set(expected["losses"].tolist())) == 3
    for found in gloo.run(voc_c4_in_float64, 2, data, timeout=WAIT_S, wait_s=WAIT_S):
        assert largest_difference(expected, found) < 1e-9


def test_killed_and_resumed_to_the_bit(data: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    killed = start(data, runs)

    def has_checkpoint() -> bool:
        stage = detection(runs)
        return stage is not None and any(stage.checkpoints.glob("step-00000001-*.pt"))

    killed.wait_for(has_checkpoint, WAIT_S)
    killed.kill()
    stage = detection(runs)
    assert stage is not None
    assert stage.result is None, "it was over before"
    for root in (runs, tmp_path / "whole"):
        ended = start(data, root).end(WAIT_S)
        assert ended.code == 0, ended.out
    whole = detection(tmp_path / "whole")
    assert whole is not None
    assert len(stage.attempts()) == 2
    assert same(final_state(stage), final_state(whole))
    metric = "detection/loss"
    losses = [journal.series(journal.read(each), metric) for each in (stage, whole)]
    assert losses[0] == losses[1]
    assert [step for step, _, _ in losses[0]] == [1, 2, 3]
