"""Submit a plan to the background of this machine: one job that runs everything in turn."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from harness import interpreter
from harness.errors import HarnessError
from harness.estimate import Computer
from harness.launch import job_file, new_submission
from harness.launch.here.launcher import Here
from harness.launch.job_states import JobState
from harness.launch.local.job import LocalJob
from harness.launch.protocol import Amount, Detached, Testbed
from harness.plan import Plan
from harness.site import Site
from harness.store import submission
from harness.store.submission import Array, Submission


class Local(Detached):
    """The launcher for the background of this machine."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def computer(self) -> Computer | None:
        return Here(self._site).computer()

    def ready(self) -> None:
        Here(self._site).ready()

    def testbed(self) -> Testbed:
        return Here(self._site).testbed()

    def amount(self, plan: Plan) -> Amount:
        return Amount(plan.hours, limit=self._site.ask_above_hours)

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
        del jobs, note, report
        site, runs = self._site, self._site.runs.absolute()
        begun = new_submission.begin(
            plan,
            runs,
            sets,
            on="local",
            arrays=lambda sid: [Array(f"moco-{sid}-0", "all", tuple(s.id for s in plan.todo))],
        )
        record = begun.record
        work = LocalJob(
            record.id,
            str(begun.recipe),
            tuple(sets),
            str(runs),
            str(site.data.absolute()),
            site.device,
            site.processes,
            again,
            os.environ.get("CUDA_VISIBLE_DEVICES"),
            site.at_once,
        )
        said = job_file.write(
            begun.folder / f"{record.arrays[0].name}.0.json", "plan", asdict(work)
        )
        started = subprocess.run(
            interpreter.command("harness.launch.local.job", str(said)),
            env=interpreter.environment(begun.code),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
        )
        if started.returncode:
            lines = started.stderr.strip().splitlines() or ["no reason given"]
            raise HarnessError(f"the background job could not be started: {lines[-1].strip()}")
        record = record.job(0, started.stdout.strip())
        submission.write(runs, record)
        return record
