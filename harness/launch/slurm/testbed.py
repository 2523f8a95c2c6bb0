"""Jobs of the site that `certify` watches, warns and kills."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.command import Commands
from harness.errors import HarnessError
from harness.launch.job_states import JobState
from harness.launch.protocol import Testbed, Work
from harness.launch.slurm import remote_task
from harness.launch.slurm.queue import Queue
from harness.launch.slurm.site import SlurmSite
from harness.plan import Plan, over
from harness.site import Site
from harness.store import submission
from harness.store.layout import stage_folder
from harness.store.submission import Array, Submission

ASK_S = 5.0
"""Seconds between two queries to SLURM; results are seen without them."""
STEP = 0
"""The step id in a job: submitit runs a single srun."""
REQUEUE_S = 60.0
"""Seconds in which SLURM must have requeued a killed job."""


class Nodes(Testbed):
    """Jobs of the site, submitted as `run` submits them."""

    def __init__(
        self, own: SlurmSite, device: str, submit: Callable[[Plan, Site, SlurmSite], Submission]
    ) -> None:
        """`submit` submits a plan's work on such nodes; its caller holds the claim."""
        self._submit = submit
        self.cuda = own.gpus_per_node > 0 and device != "cpu"
        alone = own.nodes * own.processes == 1
        if alone and not self.cuda:  # on CPUs two processes cost the same as one
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
            made = self._submit(plan, site, own)
        remote_task.cancel(
            [array for array in made.arrays if not array.stages]
        )  # no report is wanted
        return _Jobs(made, site.runs)

    def call(self, work: str, words: Mapping[str, Any], site: Site, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sent = remote_task.send((work, words), site, self.own, folder, minutes=20)
        remote_task.wait(sent, folder / "answer.json")


class _Jobs(Work):
    """A submission of which only the pre-trainings are used."""

    def __init__(self, made: Submission, runs: Path) -> None:
        self._made, self._runs = made, runs
        self._queue = Queue()
        self._asked = 0.0
        self._ending: dict[str, float] = {}

    def check(self) -> None:
        if time.monotonic() - self._asked < ASK_S:
            return
        self._asked = time.monotonic()
        answer = self._queue.ask(self._arrays(), self._made.t)
        for stage, job in self._elements():
            state = answer.jobs.get(job, JobState(job, "UNKNOWN"))
            if stage_folder(self._runs, stage).result is not None or not over(state):
                self._ending.pop(job, None)
            elif time.monotonic() - self._ending.setdefault(job, self._asked) > remote_task.ENDED_S:
                folder = submission.folder(self._runs.absolute(), self._made.id)
                raise remote_task.failure(folder, Commands(self._runs), state)

    def warn(self) -> None:
        self._command("scancel", "--signal=USR2", of=self._job())

    def kill(self) -> None:
        # Kill the step and not the job: SLURM would first send the job SIGTERM.
        self._command("scancel", "--signal=KILL", of=f"{self._job()}.{STEP}")
        until = time.monotonic() + REQUEUE_S
        while remote_task.command("scontrol", "requeue", self._job()) is None:
            if time.monotonic() > until:
                raise HarnessError(f"job {self._job()} was killed, but SLURM does not requeue it")
            time.sleep(remote_task.POLL_S)

    def close(self) -> None:
        until = time.monotonic() + remote_task.ENDED_S
        while self._has_all_results() and self._is_listed() and time.monotonic() < until:
            time.sleep(remote_task.POLL_S)
        remote_task.cancel(self._arrays())

    def _has_all_results(self) -> bool:
        pairs = self._elements()
        return all(stage_folder(self._runs, stage).result is not None for stage, _ in pairs)

    def _is_listed(self) -> bool:
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
        if remote_task.command(*words, of) is None:
            raise HarnessError(f"{' '.join(words)} {of}: refused")
