from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.tiny import TINY
from submitit.core.utils import DelayedSubmission

import harness
from harness.errors import DataError
from harness.launch import job as module
from harness.launch.job import STOPPED, ReportJob, StageJob
from harness.launch.signals import StopFlag
from harness.plan import describe, make_plan
from harness.store.attempt import begin
from harness.store.layout import StageFolder, stage_folder

CODE = str(Path(harness.__file__).parent.parent)


@pytest.fixture
def stages(tmp_path: Path) -> dict[str, StageFolder]:
    """The created folders of a tiny run, by kind."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    made = make_plan(tmp_path / "tiny.yaml", [], tmp_path / "runs")
    folders = {}
    for stage in made.stages:
        folders[stage.kind] = stage_folder(tmp_path / "runs", stage.id)
        folders[stage.kind].create(describe(stage, made.name))
    return folders


def job(folder: StageFolder, code: str = CODE) -> StageJob:
    return StageJob(str(folder.path), "/nowhere", "cpu", code)


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """squeue prints this file's lines, one at each call; fails at an empty one, and behind."""
    answers = tmp_path / "answers"
    script = tmp_path / "bin" / "squeue"
    script.parent.mkdir()
    script.write_text(
        f"#!/bin/sh\nexec 3< {answers}\nread -r line <&3 || exit 1\n"
        f"cat <&3 > {answers}.rest\nmv {answers}.rest {answers}\n"
        '[ "$line" = "-" ] && exit 1\n[ "$line" = "." ] || echo "$line"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return answers


class Requeued(BaseException):
    """What submitit's handler does in the end is to leave."""


def handler(number: int, _frame: object) -> None:
    assert number == signal.SIGUSR2
    raise Requeued


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
        module._end(handler, heard)
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
    assert module._own_state() == f"--noheader --format=%T --jobs={own}"


def test_nobody_answers_for_long(squeue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    squeue.write_text("")
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    with pytest.raises(SystemExit, match=str(STOPPED)):
        module._end(handler, {TERM})


def test_the_first_process_decides_for_all(squeue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    squeue.write_text("RUNNING\n")
    monkeypatch.setenv("SLURM_PROCID", "1")
    with pytest.raises(SystemExit, match="0"):
        module._end(handler, {USR2})
    assert squeue.read_text() == "RUNNING\n", "it was not asked"


def test_a_requeue_that_fails_is_told(squeue: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def out(*_: object) -> None:
        raise RuntimeError("timed-out too many times")

    squeue.write_text("RUNNING\n")
    with pytest.raises(SystemExit, match=str(STOPPED)):
        module._end(out, {USR2})
    said = capfd.readouterr().err
    assert "could not be requeued (timed-out too many times); run again goes on" in said


@pytest.fixture
def _as_submitit() -> Iterator[None]:
    before = signal.signal(signal.SIGUSR2, handler)
    yield
    signal.signal(signal.SIGUSR2, before)


@pytest.mark.usefixtures("_as_submitit")
def test_a_signal_waits_for_the_step_and_then_requeues(
    stages: dict[str, StageFolder], squeue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeue.write_text("RUNNING\n")
    steps = []

    def run(_: StageJob, flag: StopFlag) -> str:
        os.kill(os.getpid(), signal.SIGUSR2)
        while not flag():
            pass
        steps.append("checkpoint")
        return "interrupted"

    monkeypatch.setattr(StageJob, "_run", run)
    with pytest.raises(Requeued):
        job(stages["pretrain"])()
    assert steps == ["checkpoint"]
    assert signal.getsignal(signal.SIGUSR2) is handler


def test_asked_before_it_began(stages: dict[str, StageFolder]) -> None:
    flag = StopFlag()
    flag.set = True
    assert job(stages["pretrain"])._run(flag) == "interrupted"
    assert stages["pretrain"].attempts() == []


@pytest.mark.parametrize("state", ["finished", "diverged"])
def test_what_is_done_is_not_begun(stages: dict[str, StageFolder], state: str) -> None:
    attempt = begin(stages["pretrain"])
    attempt.finish({"state": state, "step": 1, "values": {}})
    attempt.end(state)
    assert job(stages["pretrain"])() == state
    assert len(stages["pretrain"].attempts()) == 1
    if state == "diverged":
        assert job(stages["knn"])() == "none"
        assert stages["knn"].attempts() == []


def test_a_mistake_ends_it_with_a_sentence(
    stages: dict[str, StageFolder],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> str:
        raise DataError("the data is not there; bring it back")

    monkeypatch.setattr(StageJob, "_run", broken)
    with pytest.raises(SystemExit, match="3"):
        job(stages["pretrain"])()
    assert capfd.readouterr().err == "error: the data is not there; bring it back\n"


def test_other_code_than_was_submitted_is_refused(
    stages: dict[str, StageFolder], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="1"):
        job(stages["pretrain"], str(tmp_path))()
    assert f"but {tmp_path} was submitted" in capfd.readouterr().err
    assert stages["pretrain"].attempts() == []


def test_what_is_pickled_is_small_and_plain(stages: dict[str, StageFolder]) -> None:
    made: list[Any] = [
        job(stages["pretrain"]),
        ReportJob("/r/tiny.yaml", ("seed=1",), "/r/runs", CODE),
    ]
    for one in made:
        data = pickle.dumps(one.checkpoint())
        assert len(data) < 1000
        again = pickle.loads(data)
        assert isinstance(again, DelayedSubmission)
        assert again.function == one


def test_a_report_of_what_there_is(tmp_path: Path, stages: dict[str, StageFolder]) -> None:
    assert stages
    made = ReportJob(str(tmp_path / "tiny.yaml"), (), str(tmp_path / "runs"), CODE)
    page = made()
    assert page == str(tmp_path / "runs" / "reports" / "tiny" / "report.html")
    assert Path(page).exists()
