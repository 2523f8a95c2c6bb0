"""Processes of this machine that `certify` watches, warns and kills."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import interpreter
from harness.errors import HarnessError
from harness.launch import job_file
from harness.launch.protocol import Testbed, Work
from harness.launch.stage_record import describe
from harness.plan import Plan
from harness.site import Site
from harness.store.layout import StageFolder, stage_folder

FEWEST = 3
"""CPU processes if the site names no number: two, as a sum of two does not depend on order."""


class Machine(Testbed):
    """The testbed for this machine."""

    def __init__(self, site: Site) -> None:
        import torch

        from harness.stage.execute import pick_device

        self.device = pick_device(site.device)
        self.cuda = self.device.startswith("cuda")
        there = torch.cuda.device_count() if self.cuda else FEWEST
        self.processes = site.processes if site.processes > 1 else there
        self.nodes = 1
        self.words = f"{self.processes} processes of this machine, {self.device}"

    def start(self, plan: Plan, site: Site, processes: int) -> Work:
        work = _Processes(plan, site, self.device, processes)
        work.check()
        return work

    def call(self, work: str, words: Mapping[str, Any], site: Site, folder: Path) -> None:
        del site
        folder.mkdir(parents=True, exist_ok=True)
        said = job_file.write(folder / "work.json", work, words)
        started = _start(["harness.launch.job_file", str(said)], self.processes, folder / "log.txt")
        try:
            codes = [process.wait() for process in started]
        finally:
            _end(started, signal.SIGKILL)
        if any(codes):
            raise HarnessError(f"a process ended with {max(codes, key=abs)}; see {folder}/log.txt")


class _Processes(Work):
    """The plan's stages one after the other, each run by the same number of processes."""

    def __init__(self, plan: Plan, site: Site, device: str, processes: int) -> None:
        self._left: list[StageFolder] = []
        for stage in plan.todo:
            folder = stage_folder(site.runs, stage.id)
            folder.create(describe(stage, plan.name))
            self._left.append(folder)
        self._rest = ["--data", str(site.data.absolute()), "--device", device]
        self._processes = processes
        self._running: list[subprocess.Popen[bytes]] = []

    def check(self) -> None:
        if any(process.poll() is None for process in self._running) or not self._left:
            return
        if self._running:
            self._running = []
            folder = self._left[0]
            if folder.result is None:
                raise HarnessError(f"{folder.id} has failed; see {folder.path}/log.txt")
            self._left.pop(0)
        if self._left:
            self._begin()

    def warn(self) -> None:
        _end(self._running, signal.SIGTERM)
        self._begin()

    def kill(self) -> None:
        _end(self._running, signal.SIGKILL)
        self._begin()

    def close(self) -> None:
        _end(self._running, signal.SIGKILL)

    def _begin(self) -> None:
        folder = self._left[0].path
        words = ["harness.launch.rank", str(folder), *self._rest]
        self._running = _start(words, self._processes, folder / "log.txt")


def _start(words: Sequence[str], processes: int, log: Path) -> list[subprocess.Popen[bytes]]:
    """Start `python -m words` as several processes that can connect; their output goes to `log`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = interpreter.environment()
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(processes))
    started = []
    with log.open("ab") as out:
        for rank in range(processes):
            place = dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank))
            env = {**own, **shared, **place}
            command = interpreter.command(*words)
            started.append(subprocess.Popen(command, env=env, stdout=out, stderr=out))
    return started


def _end(processes: Sequence[subprocess.Popen[bytes]], how: signal.Signals) -> None:
    """Send the signal to the processes that run, and wait for all of them."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(how)
    for process in processes:
        process.wait()
