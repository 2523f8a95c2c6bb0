from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from launch.requeue import Requeued, handler
from launch.world import World

from harness.launch.signals import StopFlag
from harness.launch.slurm import requeue as module
from harness.launch.slurm.requeue import STOPPED, record_dead_ranks, should_requeue
from harness.store.attempt import begin

USR2, TERM = signal.SIGUSR2, signal.SIGTERM


@pytest.mark.parametrize(
    ("heard", "answers", "requeues"),
    [
        ({USR2}, "RUNNING", True),
        ({USR2, TERM}, "RUNNING", True),
        ({TERM}, "RUNNING", True),  # in the grace of a preemption without a warning of its own
        ({TERM}, "COMPLETING", False),  # cancelled, or requeued by SLURM
        ({USR2}, "COMPLETING", False),  # both at once
        ({USR2}, ".", False),  # known no more
        ({USR2}, "-", True),
        ({TERM}, "-\n-\nRUNNING", True),
        ({TERM}, "-\n-\nCOMPLETING", False),
    ],
)
def test_who_is_requeued(squeue: Path, heard: set[int], answers: str, requeues: bool) -> None:
    squeue.write_text(answers + "\n")
    with pytest.raises(Requeued if requeues else SystemExit) as ended:
        module.end(handler, heard)
    assert requeues or ended.value.code == STOPPED  # type: ignore[attr-defined]


@pytest.mark.parametrize(("index", "own"), [("", "12"), ("3", "12_3")])
def test_it_asks_about_itself_and_not_about_its_array(
    squeue: Path, monkeypatch: pytest.MonkeyPatch, index: str, own: str
) -> None:
    """The last element of an array has the array's number as its SLURM_JOB_ID."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12" if index else "")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", index)
    monkeypatch.setenv("SQUEUE_STATES", "PENDING")
    script = squeue.parent / "bin" / "squeue"
    script.write_text('#!/bin/sh\necho "$* $SQUEUE_STATES"\n')
    assert module.own_state() == f"--noheader --format=%T --jobs={own}"


def test_nobody_answers_for_long(squeue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    squeue.write_text("")
    monkeypatch.setattr(module, "STATE_WAIT_S", 0.1)
    with pytest.raises(SystemExit, match=str(STOPPED)):
        module.end(handler, {TERM})


def test_the_first_process_decides_for_all(squeue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    squeue.write_text("RUNNING\n")
    monkeypatch.setenv("SLURM_PROCID", "1")
    with pytest.raises(SystemExit, match="0"):
        module.end(handler, {USR2})
    assert squeue.read_text() == "RUNNING\n", "it was not asked"


def test_a_requeue_that_fails_is_told(squeue: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def out(*_: object) -> None:
        raise RuntimeError("timed-out too many times")

    squeue.write_text("RUNNING\n")
    with pytest.raises(SystemExit, match=str(STOPPED)):
        module.end(out, {USR2})
    said = capfd.readouterr().err
    assert "could not be requeued (timed-out too many times)" in said


# ---- a process was lost


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is the first of a job's third life."""
    for name, value in {"JOB_ID": "12", "RESTART_COUNT": "2", "PROCID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr(module, "VERDICT_S", 0.2)
    monkeypatch.setattr(module, "DECISION_S", 0.2)


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(
    ("changed", "heard", "expected"),
    [
        ({}, set(), True),
        ({}, {USR2}, True),
        ({}, {TERM}, False),  # SLURM knows, and ends the others: it died on a node that lives
        ({"SLURM_PROCID": "1"}, set(), False),
        ({"SLURM_RESTART_COUNT": "3"}, set(), False),  # often enough
        ({"SLURM_JOB_ID": ""}, set(), False),
    ],
)
def test_whether_it_goes_on_without_a_process(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], heard: set[int], expected: bool
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    flag = StopFlag()
    flag.heard = heard
    assert should_requeue(3, flag) == expected


@pytest.mark.usefixtures("job")
def test_slurms_verdict_may_come_a_little_later(monkeypatch: pytest.MonkeyPatch) -> None:
    flag = StopFlag()
    monkeypatch.setattr(module, "VERDICT_S", 60)
    monkeypatch.setattr(time, "sleep", lambda _: flag.heard.add(TERM))
    assert not should_requeue(3, flag)


@pytest.mark.usefixtures("job")
def test_the_attempt_says_who_died(world: World) -> None:
    folder = world.stage()
    attempt = begin(folder)
    attempt.end("failed", "rank 0 lost contact")
    record_dead_ranks(folder, [1, 3], "rank 0 lost contact")
    found: dict[str, Any] = json.loads((attempt.path / "ended.json").read_text())
    assert (found["how"], found["lost"]) == ("interrupted", "ranks 1, 3")
    assert found["message"] == "rank 0 lost contact"


@pytest.mark.usefixtures("job")
def test_another_lifes_attempt_is_left_as_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world.stage()
    attempt = begin(folder)
    attempt.end("failed", "ValueError: seven")
    before = (attempt.path / "ended.json").read_text()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    record_dead_ranks(folder, [1], "it never met rank 1")
    assert (attempt.path / "ended.json").read_text() == before
