from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.tiny import TINY
from launch.requeue import Requeued, handler

import harness
from harness.errors import DataError
from harness.launch import rank
from harness.launch.signals import StopFlag
from harness.launch.slurm import requeue
from harness.launch.slurm.job import ReportJob, StageJob
from harness.launch.stage_record import describe
from harness.plan import make_plan
from harness.runtime.failure_detection import LostPeer
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

    def run(_: StageJob, flag: StopFlag, __: object) -> str:
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
    assert job(stages["pretrain"])._run(flag, None) == "interrupted"
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


def test_a_report_of_what_there_is(tmp_path: Path, stages: dict[str, StageFolder]) -> None:
    assert stages
    made = ReportJob(str(tmp_path / "tiny.yaml"), (), str(tmp_path / "runs"), str(tmp_path), CODE)
    page = made()
    assert page == str(tmp_path / "runs" / "reports" / "tiny" / "report.html")
    assert Path(page).exists()


@pytest.mark.usefixtures("_as_submitit")
@pytest.mark.parametrize(
    ("died", "requeues"), [((1,), True), ((), False)], ids=["died", "stopped by itself"]
)
def test_a_lost_process_requeues_the_job(
    stages: dict[str, StageFolder],
    squeue: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    died: tuple[int, ...],
    requeues: bool,
) -> None:
    """Unless it had an error of its own, which is the run's."""

    def lost(*_: object, **__: object) -> str:
        attempt = begin(stages["pretrain"])
        attempt.end("failed", "lost")
        raise LostPeer("rank 0 lost contact in 'any': rank 1 ...", died)

    squeue.write_text("RUNNING\n")
    monkeypatch.setattr(requeue, "VERDICT_S", 0.1)
    monkeypatch.setattr(rank, "run_as", lost)
    with pytest.raises(Requeued if requeues else SystemExit):
        job(stages["pretrain"])()
    (attempt,) = stages["pretrain"].attempts()
    how = json.loads((attempt / "ended.json").read_text())["how"]
    assert how == ("interrupted" if requeues else "failed")
    assert "rank 0 lost contact" in capfd.readouterr().err


@pytest.mark.parametrize("died", [(1,), ()], ids=["died", "stopped by itself"])
def test_a_process_that_cannot_notice_the_loss_ends_the_same_way(
    stages: dict[str, StageFolder],
    tmp_path: Path,
    died: tuple[int, ...],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its main thread is blocked for good, in a GPU's queue perhaps."""
    code = multiprocessing.get_context("fork").Process(
        target=blocked, args=(stages["pretrain"], tmp_path, died)
    )
    code.start()
    code.join(60)
    (attempt,) = stages["pretrain"].attempts()
    told = json.loads((attempt / "ended.json").read_text())
    assert told["how"] == ("interrupted" if died else "failed")
    assert told["message"] == "rank 0 lost contact in 'any': rank 1 ..."
    assert (tmp_path / "requeued").exists() == bool(died)
    assert code.exitcode == (requeue.STOPPED if died else 1)
    assert "error: rank 0 lost contact" in capfd.readouterr().err


def blocked(folder: StageFolder, place: Path, died: tuple[int, ...]) -> None:
    os.environ["SLURM_JOB_ID"] = "12"
    signal.signal(signal.SIGUSR2, lambda *_: (place / "requeued").touch())
    requeue.VERDICT_S = 0.1
    requeue.own_state = lambda: "RUNNING"

    def run_as(*_: Any, **given: Any) -> str:
        begin(folder)
        lost = LostPeer("rank 0 lost contact in 'any': rank 1 ...", died)
        threading.Thread(target=given["on_loss"], args=(lost,)).start()
        time.sleep(60)
        raise AssertionError

    rank.run_as = run_as
    job(folder)()
