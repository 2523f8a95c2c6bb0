from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.errors import Busy, Unreadable
from harness.launch.slurm.config import own_job
from harness.store import liveness
from harness.store.attempt import begin
from harness.store.layout import StageFolder
from harness.store.ledger import read_entry

ARRAY = {"SLURM_JOB_ID": "15", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "15"}, {"job": "15", "restart": 0}),
        (ARRAY, {"job": "12_3", "restart": 0}),
        ({**ARRAY, "SLURM_RESTART_COUNT": "2"}, {"job": "12_3", "restart": 2}),
        ({"SLURM_JOB_ID": "15", "SLURM_RESTART_COUNT": "?"}, {"job": "15", "restart": 0}),
        (
            {"SLURM_JOB_ID": "15", "SLURM_CLUSTER_NAME": "a"},
            {"job": "15", "restart": 0, "cluster": "a"},
        ),
    ],
)
def test_the_job_that_a_process_is_of(env: dict[str, str], expected: Any) -> None:
    assert own_job(env) == expected


@pytest.mark.parametrize(
    ("job", "restart", "cluster", "goes_on"),
    [
        ("12_3", 1, "a", True),
        ("12_3", 0, "a", True),
        ("12_3", 0, None, True),
        ("12_3", 2, "a", False),
        ("12_4", 1, "a", False),
        ("12_3", 1, "b", False),  # alive, on another cluster that shares the file system
        (None, 0, None, False),
    ],
)
def test_a_requeued_job_need_not_wait_for_its_own_past(
    folder: StageFolder,
    monkeypatch: pytest.MonkeyPatch,
    job: str | None,
    restart: int,
    cluster: str | None,
    goes_on: bool,
) -> None:
    past = folder.path / "attempts" / "0001"
    past.mkdir()
    who: dict[str, Any] = {"host": "node-7", "boot": "b", "pid": 7, "born": "1"}
    if job is not None:
        who["slurm"] = {"job": job, "restart": restart}
        who["slurm"] |= {"cluster": cluster} if cluster else {}
    (past / "alive.json").write_text(json.dumps(who))
    os.utime(past / "alive.json", (time.time(), time.time()))
    here = {**ARRAY, "SLURM_RESTART_COUNT": "2", "SLURM_CLUSTER_NAME": "a"}
    for name, value in here.items():
        monkeypatch.setenv(name, value)
    if not goes_on:
        with pytest.raises(Busy, match="process 7 on node-7"):
            begin(folder)
        return
    attempt = begin(folder)
    assert attempt.number == 2
    said = json.loads((attempt.path / "alive.json").read_text())
    assert said["slurm"] == {"job": "12_3", "restart": 2, "cluster": "a"}
    attempt.end("interrupted")


@pytest.mark.parametrize(
    ("number", "unknown"), [(errno.ESTALE, True), (errno.EIO, True), (errno.ENOENT, False)]
)
def test_a_server_that_fails_does_not_mean_that_nobody_owns_it(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch, number: int, unknown: bool
) -> None:
    attempt, stat = begin(folder), Path.stat

    def fails(path: Path, **more: Any) -> os.stat_result:
        if path.name == "alive.json":
            raise OSError(number, os.strerror(number), str(path))
        return stat(path, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", fails)
        assert (read_entry(folder).state == "unreadable") is unknown
        if unknown:
            with pytest.raises(Unreadable):
                begin(folder)
    attempt.end("interrupted")


def test_an_attempt_that_is_moved_away_meanwhile_has_no_holder(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = folder.path / "attempts" / "0001"
    attempt.mkdir()
    measured = liveness.clock.now

    def moved(place: Path) -> float:
        folder.path.rename(folder.path.with_name("away"))
        return measured(place)

    monkeypatch.setattr(liveness.clock, "now", moved)
    assert liveness.holder(attempt) is None


LIVE = """
import sys, time
from pathlib import Path
from harness.store.attempt import begin
from harness.store.layout import StageFolder

begin(StageFolder(Path(sys.argv[1])))
print("begun", flush=True)
time.sleep(600)
"""


def test_a_process_that_is_stopped(folder: StageFolder) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LIVE, folder.path], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            assert read_entry(folder).unresponsive == ""
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            entry = read_entry(folder)
            assert (entry.state, entry.unresponsive) == ("running", "stopped")
            assert f"kill -CONT {process.pid}" in entry.detail
            process.send_signal(signal.SIGCONT)
            os.waitpid(process.pid, os.WCONTINUED)
            assert read_entry(folder).unresponsive == ""
        finally:
            process.kill()


@pytest.mark.parametrize("beats", [2, 4])
def test_a_process_that_is_silent(folder: StageFolder, beats: int) -> None:
    attempt = begin(folder)
    then = time.time() - beats * liveness.HEARTBEAT_S
    os.utime(attempt.path / "alive.json", (then, then))
    assert read_entry(folder).unresponsive == ("silent" if beats > 3 else "")
    attempt.end("interrupted")
