"""A launcher: a process of its own works through the stages that lie in a crate."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from harness.backend import Backend, Count
from harness.errors import HarnessError
from harness.estimate import Computer, computer
from harness.launch import new_submission
from harness.launch.job_states import JobState
from harness.launch.protocol import Amount, Detached, Draft, Drafts, Handed, Jobs, JobStates
from harness.launch.stage_record import describe
from harness.plan import Plan, over
from harness.site import Site
from harness.store import submission
from harness.store.layout import stage_folder
from harness.store.submission import Array, Submission

JOB = "CRATE_JOB"
"""The variable by which a process knows which job it is in: its number and its element."""


class CrateSite(Backend):
    """What a site file says of crates."""

    kind: ClassVar[str] = "crate"
    most: Count = 10
    """Stages of one crate."""


def own_job(env: Mapping[str, str]) -> dict[str, object] | None:
    """The job that a process is in."""
    return {"job": env[JOB], "restart": 0} if env.get(JOB) else None


class Crate(Detached):
    """See the module."""

    def __init__(self, site: Site) -> None:
        if not isinstance(site.backend, CrateSite):
            raise HarnessError("the site file has no section crate:")
        self._site, self._own = site, site.backend

    def computer(self) -> Computer | None:
        return computer("cpu", 1)

    def amount(self, plan: Plan) -> Amount:
        return Amount(plan.hours, limit=self._site.ask_above_hours)

    def drafts(
        self, plan: Plan, jobs: Mapping[str, JobState], *, report: bool = False
    ) -> Drafts | None:
        del jobs, report
        array = self._array("draft", plan)
        text = "".join(f"crate {stage}\n" for stage in array.stages)
        return Drafts(
            "the crate", "on the floor", self.amount(plan), (Draft(array, text, 1, 0, 1),)
        )

    def submit(
        self,
        plan: Plan,
        sets: Sequence[str],
        jobs: Mapping[str, JobState],
        note: Callable[[str], object],
        *,
        again: bool = False,
        report: bool = False,
    ) -> Submission:
        del jobs, note, again, report
        runs = self._site.runs.absolute()
        begun = new_submission.begin(
            plan, runs, sets, on="crate", arrays=lambda sid: [self._array(sid, plan)]
        )
        for stage in plan.todo:
            stage_folder(runs, stage.id).create(describe(stage, plan.name))
        words = [sys.executable, "-m", "moco_outside.crate", str(runs), begun.record.id]
        words += ["--data", str(self._site.data.absolute())]
        with (begun.folder / "crate.log").open("wb") as log:
            started = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        record = begun.record.job(0, str(started.pid))
        submission.write(runs, record)
        return record

    def _array(self, sid: str, plan: Plan) -> Array:
        stages = tuple(stage.id for stage in plan.todo)
        if len(stages) > self._own.most:
            raise HarnessError(f"{len(stages)} stages do not go into a crate of {self._own.most}")
        return Array(f"crate-{sid}", "pretrain", stages)


class Crates(Jobs):
    """Looks for the crates' processes."""

    def query(self, runs: Path, handed: Handed) -> JobStates:
        del runs
        return JobStates({s: self._state(made, a, n) for s, (made, a, n) in handed.items()})

    def held(
        self, runs: Path, submissions: Sequence[Submission]
    ) -> tuple[list[tuple[Submission, str]], tuple[str, ...]]:
        del runs
        found = [
            (made, stage)
            for made in submissions
            for array in made.arrays
            for n, stage in enumerate(array.stages)
            if not over(self._state(made, array, n))
        ]
        return found, ()

    def stop_command(self, job: str) -> str:
        return f"uncrate {job}"

    def stop_effects(self, jobs: Sequence[str]) -> Iterator[str]:
        yield f"{len(jobs)} stages will be uncrated"

    def stop(self, jobs: Sequence[str]) -> Iterator[str]:
        for process in {int(job.partition("_")[0]) for job in jobs}:
            try:
                os.killpg(process, 15)
            except ProcessLookupError:
                yield f"crate {process} is empty"

    def _state(self, made: Submission, array: Array, index: int) -> JobState:
        job = array.element(index) or ""
        try:
            words = Path(f"/proc/{array.job}/cmdline").read_bytes()
        except OSError:
            words = b""
        alive = made.id.encode() in words
        return JobState(job, "RUNNING" if alive else "GONE", "", made.host, alive)


def main() -> None:
    """Work through a submission's stages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("submission")
    parser.add_argument("--data", required=True)
    said = parser.parse_args()
    (array,) = submission.read(said.runs, said.submission).arrays
    folder = submission.folder(said.runs, said.submission)
    number = os.getpid()
    for n, stage in enumerate(array.stages):
        job = f"{number}_{n}" if len(array.stages) > 1 else str(number)
        words = [sys.executable, "-m", "harness.launch.rank", str(said.runs / stage)]
        with (folder / f"{job}_0_log.err").open("wb") as log:
            words += ["--data", said.data, "--device", "cpu"]
            subprocess.run(words, env={**os.environ, JOB: job}, stdout=log, stderr=log)


if __name__ == "__main__":
    main()
