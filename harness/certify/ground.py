"""Where the checks run: on the site's cluster, or as processes of this machine."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from harness import interpreter
from harness.app.submitting import hand_over
from harness.certify.trajectory import Trajectories
from harness.command import Commands
from harness.errors import HarnessError
from harness.launch import errand
from harness.launch.queue import JobState, Queue
from harness.plan import Plan, describe, over
from harness.site import Site, SlurmSite
from harness.store import submission
from harness.store.layout import StageFolder, stage_folder
from harness.store.submission import Array, Submission

POLL_S = 0.2
ASK_S = 5.0
"""Seconds between two questions to SLURM: results are seen without it."""
STEP = 0
"""Of a job: submitit's srun is the only one."""
REQUEUE_S = 60.0
"""Seconds in which SLURM must have taken a killed job back into its queue."""

FEWEST = 3
"""Processes on this machine's CPUs, where the site names no number: a sum of two has no order."""


class Work(Protocol):
    """Stages that were begun."""

    def look(self) -> None:
        """Raise a HarnessError if a stage will not finish."""

    def warn(self) -> None:
        """Ask the (only) stage's processes to stop, as before preemption; they are begun anew."""

    def kill(self) -> None:
        """SIGKILL, of which they hear nothing; they are begun anew."""

    def close(self) -> None:
        """End what is left of it."""


class Ground(Protocol):
    """A place to run stages on."""

    words: str
    """For a person."""
    nodes: int
    processes: int
    """Of a stage that all share."""
    cuda: bool

    def start(self, plan: Plan, site: Site, processes: int) -> Work:
        """Run the plan's stages, each by so many processes, under the run root of `site`."""

    def trajectories(self, site: Site, folder: Path) -> None:
        """Have harness.certify.trajectory answer into `folder`, by all processes."""


def choose(site: Site, on_slurm: bool) -> Ground:
    """The site's cluster, or this machine."""
    if on_slurm:
        assert site.slurm is not None
        return Cluster(site.slurm, site.device)
    return Machine(site)


class Cluster:
    """Jobs of the site's, submitted as `run` submits them."""

    def __init__(self, own: SlurmSite, device: str) -> None:
        self.cuda = own.gpus_per_node > 0 and device != "cpu"
        alone = own.nodes * own.processes == 1
        if alone and not self.cuda:  # on CPUs two processes cost nothing more
            own = own.model_copy(update={"processes_per_node": 2})
        self.own, self.nodes = own, own.nodes
        self.processes = own.nodes * own.processes
        kind = f"partition {own.partition}" if own.partition else "the default partition"
        self.words = f"{own.nodes} nodes of {own.processes} processes, {kind}"

    def start(self, plan: Plan, site: Site, processes: int) -> Work:
        own = self.own
        if processes == 1:
            few = {"nodes": 1, "processes_per_node": 1, "gpus_per_node": min(1, own.gpus_per_node)}
            own = own.model_copy(update=few)
        with submission.claim(site.runs):
            made = hand_over(plan, replace(site, slurm=own))
        errand.cancel([array for array in made.arrays if not array.stages])  # no report is wanted
        return _Jobs(made, site.runs)

    def trajectories(self, site: Site, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        work = Trajectories(str(folder.absolute()), site.device)
        sent = errand.send(work, site, self.own, folder, minutes=20)
        errand.wait(sent, folder / "answer.json")


class _Jobs:
    """A submission of which only the pre-trainings matter."""

    def __init__(self, made: Submission, runs: Path) -> None:
        self._made, self._runs = made, runs
        self._queue = Queue()
        self._asked = 0.0
        self._ending: dict[str, float] = {}

    def look(self) -> None:
        if time.monotonic() - self._asked < ASK_S:
            return
        self._asked = time.monotonic()
        answer = self._queue.ask(self._arrays(), self._made.t)
        for stage, job in self._elements():
            state = answer.jobs.get(job, JobState(job, "UNKNOWN"))
            if stage_folder(self._runs, stage).result is not None or not over(state):
                self._ending.pop(job, None)
            elif time.monotonic() - self._ending.setdefault(job, self._asked) > errand.ENDED_S:
                folder = submission.folder(self._runs.absolute(), self._made.id)
                raise errand.failure(folder, Commands(self._runs), state)

    def warn(self) -> None:
        self._command("scancel", "--signal=USR2", of=self._job())

    def kill(self) -> None:
        # The step and not the job, to which SLURM would send SIGTERM first.
        self._command("scancel", "--signal=KILL", of=f"{self._job()}.{STEP}")
        until = time.monotonic() + REQUEUE_S
        while errand.command("scontrol", "requeue", self._job()) is None:
            if time.monotonic() > until:
                raise HarnessError(f"job {self._job()} was killed, but may not be requeued")
            time.sleep(errand.POLL_S)

    def close(self) -> None:
        until = time.monotonic() + errand.ENDED_S
        while self._has_all_results() and self._lives() and time.monotonic() < until:
            time.sleep(errand.POLL_S)
        errand.cancel(self._arrays())

    def _has_all_results(self) -> bool:
        pairs = self._elements()
        return all(stage_folder(self._runs, stage).result is not None for stage, _ in pairs)

    def _lives(self) -> bool:
        jobs = self._queue.ask(self._arrays(), self._made.t).jobs
        return any(jobs[job].live for _, job in self._elements() if job in jobs)

    def _arrays(self) -> Sequence[Array]:
        return [array for array in self._made.arrays if array.stages]

    def _elements(self) -> list[tuple[str, str]]:
        return [pair for array in self._arrays() for pair in array.elements()]

    def _job(self) -> str:
        ((_, job),) = self._elements()
        return job

    def _command(self, *words: str, of: str) -> None:
        if errand.command(*words, of) is None:
            raise HarnessError(f"{' '.join(words)} {of}: refused")


@dataclass
class Machine:
    """Processes of this machine."""

    site: Site

    def __post_init__(self) -> None:
        import torch

        from harness.stage.execute import pick_device

        self.device = pick_device(self.site.device)
        self.cuda = self.device.startswith("cuda")
        there = torch.cuda.device_count() if self.cuda else FEWEST
        self.processes = self.site.processes if self.site.processes > 1 else there
        self.nodes = 1
        self.words = f"{self.processes} processes of this machine, {self.device}"

    def start(self, plan: Plan, site: Site, processes: int) -> Work:
        work = _Processes(plan, site, self.device, processes)
        work.look()
        return work

    def trajectories(self, site: Site, folder: Path) -> None:
        del site
        folder.mkdir(parents=True, exist_ok=True)
        words = ["harness.certify.trajectory", str(folder), self.device]
        started = _start(words, self.processes, folder / "log.txt")
        try:
            codes = [process.wait() for process in started]
        finally:
            _end(started, signal.SIGKILL)
        if any(codes):
            raise HarnessError(f"a process ended with {max(codes, key=abs)}; see {folder}/log.txt")


class _Processes:
    """The plan's stages in turn, each by the same number of processes."""

    def __init__(self, plan: Plan, site: Site, device: str, processes: int) -> None:
        self._left: list[StageFolder] = []
        for stage in plan.todo:
            folder = stage_folder(site.runs, stage.id)
            folder.create(describe(stage, plan.name))
            self._left.append(folder)
        self._rest = ["--data", str(site.data.absolute()), "--device", device]
        self._processes = processes
        self._running: list[subprocess.Popen[bytes]] = []

    def look(self) -> None:
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
        words = ["harness.launch.worker", str(folder), *self._rest]
        self._running = _start(words, self._processes, folder / "log.txt")


def _start(words: Sequence[str], processes: int, log: Path) -> list[subprocess.Popen[bytes]]:
    """`python -m words` as so many processes that find each other; they write into `log`."""
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
    """Send the signal to those that run, and wait for all."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(how)
    for process in processes:
        process.wait()
