"""Hand a plan to SLURM through submitit, and write down what was handed over.

All that a job needs lies in RUNS/submissions/<id>/ before sbatch is called. submitit puts a job's
pickle under the job's number only after that, so each script does it too if need be: the jobs of a
submitter that died run as well as any others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import HarnessError
from harness.launch import clients, handover, refusal, sbatch, snapshot
from harness.launch.arrays import arrays, dependency
from harness.launch.job import ReportJob, StageJob
from harness.launch.queue import JobState, Queue
from harness.launch.sbatch import NotSubmitted
from harness.plan import Plan, describe
from harness.site import Site, SlurmSite
from harness.store import submission
from harness.store.layout import StageFolder, stage_folder
from harness.store.submission import Array, Submission

PATIENCE_S = 15.0
"""Seconds for the first question, on whose answer all hangs: without a controller it takes 9."""


def scripts(
    plan: Plan, site: Site, jobs: Mapping[str, JobState], *, report: bool = False
) -> list[tuple[Array, str]]:
    """The sbatch scripts that `submit` would submit now, JOB0 standing for the first one's job."""
    own, sid = _own(site), submission.new_id()
    made = arrays(plan, sid, most=own.max_array, live=_numbers(jobs), report=report)
    folder = submission.folder(site.runs.absolute(), sid)
    names = [f"JOB{n}" for n in range(len(made))]
    found = []
    for array in made:
        waits = dependency(array, names)
        executor = sbatch.executor(own, array, folder, snapshot.place(site.runs), waits)
        found.append((array, sbatch.script(executor, array)))
    return found


def submit(
    plan: Plan,
    site: Site,
    sets: Sequence[str],
    jobs: Mapping[str, JobState],
    note: Callable[[str], object],
    *,
    report: bool = False,
) -> Submission:
    """Submit what the plan has to do; the caller holds the run root's claim.

    Args:
        sets: the --set options that the plan was made with.
        jobs: by stage id, what became of earlier submissions.
        note: told what is not as it should be, but no reason to stop.
        report: also where no stage is left to do.

    Raises:
        HarnessError: SLURM refused an array, does not answer, or will not start a job as it is
            asked for. What was submitted is recorded; old results that an array was to replace are
            where they were, unless it may have become a job.
        StoreError: the run root cannot be written.
    """
    own, runs = _own(site), site.runs.absolute()

    def drafted(sid: str) -> list[Array]:
        return arrays(plan, sid, most=own.max_array, live=_numbers(jobs), report=report)

    cluster = clients.cluster(PATIENCE_S)
    refusal.foreseen(own, drafted(""), cluster)
    begun = handover.begin(
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
    for n, array in enumerate(record.arrays):
        waits = dependency(array, [a.job for a in record.arrays])
        executor = sbatch.executor(own, array, begun.folder, code, waits)
        works = [_stage_job(stage, site, own, code) for stage in array.stages]
        aside = _make_folders(plan, array, runs)
        try:
            job = sbatch.submitted(executor, array, begun.folder, works or [work])
        except HarnessError as error:
            answer = Queue().ask([array], record.t)
            silent = isinstance(error, NotSubmitted) and error.silent
            # what SLURM refuses may leave a job that has failed
            alive = any(state.live for state in answer.jobs.values())
            if not alive and not (silent and array.name in answer.numbers):
                why = str(error)
                if answer.controller and not silent:
                    for folder, old in aside:
                        folder.put_back(old)
                    record = replace(record, arrays=record.arrays[:n])
                    submission.write(runs, record)
                elif aside:  # it may be there: the next `run` looks by name
                    why += f"; old results are in {runs / 'aside'}, as a job may have been made"
                if not array.stages and n:
                    note(f"no job for the report ({why}); run again for one, or `report` writes it")
                    return record
                refused = answer.controller and not silent
                said = refusal.told(begun.record, n, why, own, refused=refused)
                raise HarnessError(said) from error
            job = answer.numbers[array.name]
        record = record.job(n, job)
        submission.write(runs, record)
    if why := refusal.never_start(own, record, Queue().ask(record.arrays, record.t)):
        raise HarnessError(why)
    return record


def owes_report(
    plan: Plan, submissions: Sequence[Submission], jobs: Mapping[str, JobState]
) -> bool:
    """Whether stages of the plan have jobs, but no job waits for them to write its report, as where
    the submitter died before it came to that. False where SLURM does not answer.

    Args:
        jobs: by stage id, what became of earlier submissions.
    """
    place = submission.newest(submissions)
    live = {
        stage.id: jobs[stage.id].job.partition("_")[0]
        for stage in plan.stages
        if stage.id in _numbers(jobs) and place[stage.id][0].on == "slurm"
    }
    if not live:
        return False
    since = min(place[stage][0].t for stage in live)
    own = [made for made in submissions if made.on == "slurm" and made.name == plan.name]
    reports = [(made, a) for made in own if made.t >= since for a in made.arrays if not a.stages]
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


def adopt(runs: Path, submissions: Sequence[Submission], numbers: Mapping[str, str]) -> list[str]:
    """Write down the jobs of submitters that died before they could; returns the arrays' names.

    Args:
        numbers: by array name, the job that SLURM knows under it.
    """
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


def _own(site: Site) -> SlurmSite:
    if site.slurm is None:
        raise HarnessError(
            "the site file has no section slurm:; say there how jobs are asked for, at least "
            "`slurm: {gpus_per_node: 8}`"
        )
    return site.slurm


def _numbers(jobs: Mapping[str, JobState]) -> dict[str, str]:
    return {stage: job.job for stage, job in jobs.items() if job.live and job.job}


def _make_folders(plan: Plan, array: Array, runs: Path) -> list[tuple[StageFolder, Path]]:
    """The folders of the array's stages; those to be run anew begin empty, before there is a job
    that could find the old result. Returns them and where the old ones are now.

    Raises:
        StoreError: one could not be made; the old ones are where they were.
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


def _stage_job(stage: str, site: Site, own: SlurmSite, code: Path) -> StageJob:
    folder = stage_folder(site.runs.absolute(), stage)
    data = str(site.data.absolute())
    return StageJob(
        str(folder.path), data, site.device, str(code), own.stage_data, requeues=own.timeouts
    )
