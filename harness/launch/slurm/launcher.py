"""Submit a plan to SLURM through submitit, and record what was submitted.

Everything that a job needs is in RUNS/submissions/<id>/ before sbatch is called. submitit renames a
job's pickle to the job's number only afterwards, so each script does this too if it is missing:
jobs run even if their submitter dies.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from harness.errors import HarnessError, StoreError
from harness.estimate import Computer, elsewhere
from harness.launch import new_submission, snapshot
from harness.launch.arrays import arrays, dependency
from harness.launch.job_states import JobState
from harness.launch.protocol import Amount, Detached, Draft, Drafts, Testbed
from harness.launch.slurm import clients, refusal, sbatch, staging
from harness.launch.slurm.job import ReportJob, StageJob
from harness.launch.slurm.queue import Queue
from harness.launch.slurm.sbatch import NotSubmitted
from harness.launch.slurm.site import SlurmSite
from harness.launch.stage_record import describe
from harness.plan import Plan
from harness.site import Site
from harness.store import submission
from harness.store.layout import StageFolder, stage_folder
from harness.store.submission import Array, Submission

CONFIG_TIMEOUT_S = 15.0
"""Seconds for the first query, which everything depends on; without a controller it takes 9."""


class Slurm(Detached):
    """The launcher for the cluster whose clients are on this machine."""

    behind = True

    def __init__(self, site: Site) -> None:
        """Raises HarnessError: the site file does not say how to request jobs."""
        if not isinstance(site.backend, SlurmSite):
            raise HarnessError(
                "the site file has no section slurm:; add it, at least `slurm: {gpus_per_node: 8}`"
            )
        self._site, self._own = site, site.backend

    def computer(self) -> Computer | None:
        own = self._own
        return elsewhere(self._site.runs, own.nodes * own.processes, gpus=own.gpus_per_node > 0)

    def testbed(self) -> Testbed:
        from harness.launch.slurm.testbed import Nodes

        def submitted(plan: Plan, site: Site, own: SlurmSite) -> Submission:
            return Slurm(replace(site, backend=own)).submit(plan, (), {}, lambda _: None)

        return Nodes(self._own, self._site.device, submitted)

    def scratch(self) -> tuple[Path, str] | None:
        staged = self._own.stage_data
        if staged is None or "$" in staged:  # variables are known only inside jobs
            return None
        place = Path(os.path.expandvars(staged)).expanduser()
        return (place, staging.NAME) if place.is_absolute() else None

    def amount(self, plan: Plan) -> Amount:
        """GPU hours (node hours if there are no GPUs), from measurements in this run root, else
        from the recipes."""
        own = self._own
        unit: Literal["GPU-hours", "node-hours"]
        unit = "GPU-hours" if own.gpus_per_node else "node-hours"
        hours = plan.stated_gpu_hours if own.gpus_per_node else plan.stated_cpu_hours
        if plan.seconds is not None:
            hours = plan.seconds / 3600 * own.nodes * max(1, own.gpus_per_node)
        return Amount(hours, unit, own.ask_above_gpu_hours, here=False)

    def drafts(
        self, plan: Plan, jobs: Mapping[str, JobState], *, report: bool = False
    ) -> Drafts | None:
        """See `Detached.drafts`; JOB0 stands for the first array's job."""
        own, runs, sid = self._own, self._site.runs, submission.new_id()
        made = arrays(plan, sid, most=own.max_array, live=_numbers(jobs), report=report)
        folder = submission.folder(runs.absolute(), sid)
        names = [f"JOB{n}" for n in range(len(made))]
        found = []
        for array in made:
            waits = dependency(array, names)
            executor = sbatch.executor(own, array, folder, snapshot.place(runs), waits)
            nodes, gpus = (own.nodes, own.gpus_per_node) if array.stages else (1, 0)
            hours = getattr(own.hours, array.kind)
            script = sbatch.script(executor, array)
            found.append(Draft(array, script, nodes, nodes * gpus, hours))
        where = f"partition {own.partition}" if own.partition else "the default partition"
        return Drafts("SLURM", where, self.amount(plan), tuple(found))

    def owes_report(
        self, plan: Plan, submissions: Sequence[Submission], jobs: Mapping[str, JobState]
    ) -> bool:
        """See `Detached`; for submitters that died too early. False if SLURM does not answer."""
        place = submission.newest(submissions)
        held = _numbers(jobs)
        live = {s.id: held[s.id].partition("_")[0] for s in plan.stages if s.id in held}
        if not live:
            return False
        since = min(place[stage][0].t for stage in live)
        own = [made for made in submissions if made.on == "slurm" and made.name == plan.name]
        reports = [
            (made, a) for made in own if made.t >= since for a in made.arrays if not a.stages
        ]
        answer = Queue().ask([array for _, array in reports], since)
        if not answer.controller:
            return False
        numbers = {array.name: answer.numbers.get(array.name, "") for _, array in reports}
        alive = [
            (made.stages, array.waits)
            for made, array in reports
            if (job := answer.jobs.get(numbers[array.name])) is not None and job.live
        ]
        covered = {
            stage
            for stage, job in live.items()
            if any(stage in stages or job in waits for stages, waits in alive)
        }
        return bool(live.keys() - covered)

    def adopt(
        self, runs: Path, submissions: Sequence[Submission], numbers: Mapping[str, str]
    ) -> list[str]:
        found = []
        for record in submissions:
            known = record
            for n, array in enumerate(record.arrays):
                if record.on == "slurm" and array.job is None and array.name in numbers:
                    known = known.job(n, numbers[array.name])
                    found.append(array.name)
            if known is not record:
                submission.write(runs, known)
        return found

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
        """See `Detached`. What was submitted before an error is recorded. Old results that an array
        was to replace are put back, unless the array may have become a job."""
        del again  # a stage's job gets an empty folder, or one to resume in
        site, own, runs = self._site, self._own, self._site.runs.absolute()

        def drafted(sid: str) -> list[Array]:
            return arrays(plan, sid, most=own.max_array, live=_numbers(jobs), report=report)

        cluster = clients.cluster(CONFIG_TIMEOUT_S)
        refusal.refuse_in_advance(own, drafted(""), cluster)
        begun = new_submission.begin(
            plan,
            runs,
            sets,
            on="slurm",
            arrays=drafted,
            clean=own.snapshot == "refuse_dirty",
            cluster=cluster.name,
        )
        record, code = begun.record, begun.code
        work = ReportJob(
            str(begun.recipe), tuple(sets), str(runs), str(site.data.absolute()), str(code)
        )
        last: sbatch.NamedWork = "report", asdict(work)
        for n, array in enumerate(record.arrays):
            waits = dependency(array, [a.job for a in record.arrays])
            executor = sbatch.executor(own, array, begun.folder, code, waits)
            works = [self._stage(stage, code) for stage in array.stages]
            aside = _make_folders(plan, array, runs)
            try:
                job = sbatch.submitted(executor, array, begun.folder, works or [last])
            except StoreError as error:  # its files cannot be written, so it was not submitted
                for folder, old in aside:
                    folder.put_back(old)
                record = replace(record, arrays=record.arrays[:n])
                with suppress(StoreError):
                    submission.write(runs, record)
                if array.stages or not n:
                    if n:
                        before = sum(len(each.stages) for each in record.arrays)
                        note(f"{n} earlier arrays were submitted ({before} stages)")
                    raise
                note(f"no job for the report ({error}); write it with `report`")
                return record
            except HarnessError as error:
                answer = Queue().ask([array], record.t)
                silent = isinstance(error, NotSubmitted) and error.silent
                # a refused array may leave a failed job
                alive = any(state.live for state in answer.jobs.values())
                if not alive and not (silent and array.name in answer.numbers):
                    why = str(error)
                    if answer.controller and not silent:
                        for folder, old in aside:
                            folder.put_back(old)
                        record = replace(record, arrays=record.arrays[:n])
                        submission.write(runs, record)
                    elif aside:  # it may exist: the next `run` searches by name
                        why += (
                            f"; old results stay in {runs / 'aside'}, as SLURM may have created a "
                            "job"
                        )
                    if not array.stages and n:
                        then = "call run again to submit one, or write it with `report`"
                        note(f"no job for the report ({why}); {then}")
                        return record
                    refused = answer.controller and not silent
                    said = refusal.refusal_text(begun.record, n, why, own, refused=refused)
                    raise HarnessError(said) from error
                job = answer.numbers[array.name]
            record = record.job(n, job)
            submission.write(runs, record)
        if why := refusal.never_start(own, record, Queue().ask(record.arrays, record.t)):
            raise HarnessError(why)
        return record

    def _stage(self, stage: str, code: Path) -> sbatch.NamedWork:
        """The work of a stage's job."""
        folder = stage_folder(self._site.runs.absolute(), stage)
        work = StageJob(
            str(folder.path),
            str(self._site.data.absolute()),
            self._site.device,
            str(code),
            self._own.stage_data,
            requeues=self._own.timeouts,
        )
        return "stage", asdict(work)


def _numbers(jobs: Mapping[str, JobState]) -> dict[str, str]:
    """The live jobs by stage. A background process that has a stage is no job to wait for."""
    return {s: job.job for s, job in jobs.items() if job.live and job.job and job.on == "slurm"}


def _make_folders(plan: Plan, array: Array, runs: Path) -> list[tuple[StageFolder, Path]]:
    """Make the folders of the array's stages; returns them and the old folders. Stages to run again
    start in an empty folder, made before any job could read the old result.

    Raises:
        StoreError: one could not be made; the old ones are back in place.
    """
    by_id = {stage.id: stage for stage in plan.todo}
    aside: list[tuple[StageFolder, Path]] = []
    try:
        for stage in (by_id[stage_id] for stage_id in array.stages):
            folder = stage_folder(runs, stage.id)
            if stage.action == "again":
                aside.append((folder, folder.set_aside()))
            folder.create(describe(stage, plan.name))
    except BaseException:
        for folder, old in aside:
            folder.put_back(old)
        raise
    return aside
