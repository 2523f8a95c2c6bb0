"""Processes of this machine, and what stands in for a /proc that is missing or hidden."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.store import operating_system as module


@pytest.fixture
def process() -> Iterator[int]:
    """A process that does nothing until it is killed."""
    command = [sys.executable, "-c", "print(flush=True); input()", "a word"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()  # until then the kernel may not have its arguments
        yield started.pid
        started.kill()


def test_a_process_keeps_its_start_time_until_it_has_ended(process: int) -> None:
    began = module.start_time(process)
    assert began.isdecimal()
    assert int(began) >= int(module.start_time(os.getpid()))
    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert module.start_time(process) == module.DEAD, "nobody has waited for it yet"
    assert module.command_line(process) == b""


def test_a_stopped_process(process: int) -> None:
    assert not module.is_stopped(process)
    os.kill(process, signal.SIGSTOP)
    os.waitid(os.P_PID, process, os.WSTOPPED | os.WNOWAIT)
    assert module.is_stopped(process)


def test_whose_process_it_is_and_what_it_runs(process: int) -> None:
    assert module.owner(process) == os.getuid()
    assert module.command_line(process).split(b"\0")[-2:] == [b"a word", b""]


def test_without_proc_a_process_can_still_be_seen_to_exist(
    process: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROC", tmp_path)
    assert module.start_time(process) == ""
    assert module.start_time(2**22 + 1) == module.DEAD
    assert (module.owner(process), module.command_line(process)) == (None, b"")
    assert (module.is_stopped(process), module.boot(), module.gpus()) == (False, "", [])
    assert module.cpu()


def test_the_cores_of_this_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3})
    assert module.cores() == 2


OLD = "cpu/job/cpu.cfs_"
"""Version 1's files of the limit."""


@pytest.mark.parametrize(
    ("line", "files", "cores"),
    [
        ("0::/job/step", {"job/cpu.max": "150000 100000", "job/step/cpu.max": "max 100000"}, 2),
        ("0::/job/step", {"job/cpu.max": "max 100000", "job/step/cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "300000 100000"}, 3),
        ("4:cpuacct,cpu:/job", {f"{OLD}quota_us": "200000", f"{OLD}period_us": "100000"}, 2),
        ("4:cpu:/job", {f"{OLD}quota_us": "-1", f"{OLD}period_us": "100000"}, 4),
        ("3:cpuset:/job", {f"{OLD}quota_us": "1", f"{OLD}period_us": "1"}, 4),
        ("0::/", {"cpu.max": "a word"}, 4),
        ("0::/", {}, 4),
    ],
)  # fmt: skip
def test_a_control_group_may_allow_fewer_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(module, "PROC", tmp_path)
    monkeypatch.setattr(module, "CGROUPS", tmp_path / "groups")
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text(f"9:pids:/\n{line}\n")
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text + "\n")
    assert module.cores() == cores
