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
from harness.launch import clients, handover, sbatch, snapshot
from harness.launch.arrays import arrays, dependency
from harness.launch.job import ReportJob, StageJob
from harness.launch.queue import JobState, Queue
from harness.plan import Plan, describe
from harness.site import Site, SlurmSite
from harness.store import submission
from harness.store.layout import StageFolder, stage_folder
from harness.store.submission import Array, Submission


def scripts(plan: Plan, site: Site, jobs: Mapping[str, JobState]) -> list[tuple[Array, str]]:
    """The sbatch scripts that `submit` would submit now, JOB0 standing for the first one's job."""
    own, sid = _own(site), submission.new_id()
    made = arrays(plan, sid, most=own.max_array, live=_numbers(jobs))
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
) -> Submission:
    """Submit what the plan has to do; the caller holds the run root's claim.

    Args:
        sets: the --set options that the plan was made with.
        jobs: by stage id, what became of earlier submissions.
        note: told what is not as it should be, but no reason to stop.

    Raises:
        HarnessError: sbatch refused an array; those before it were submitted, and are recorded.
            Old results that it was to replace are where they were.
        StoreError: the run root cannot be written.
    """
    own, runs = _own(site), site.runs.absolute()
    begun = handover.begin(
        plan,
        runs,
        sets,
        on="slurm",
        arrays=lambda sid: arrays(plan, sid, most=own.max_array, live=_numbers(jobs)),
        clean=own.snapshot == "refuse_dirty",
        cluster=clients.cluster().name,
    )
    record, code = begun.record, begun.code
    report = ReportJob(
        str(begun.recipe), tuple(sets), str(runs), str(site.data.absolute()), str(code)
    )
    for n, array in enumerate(record.arrays):
        waits = dependency(array, [a.job for a in record.arrays])
        executor = sbatch.executor(own, array, begun.folder, code, waits)
        works = [_stage_job(stage, site, own, code) for stage in array.stages]
        aside = _make_folders(plan, array, runs)
        try:
            job = sbatch.submitted(executor, array, begun.folder, works or [report])
        except Exception as error:
            answer = Queue().ask([array], record.t)
            if array.name not in answer.numbers:
                why = sbatch.told_by(error)
                if answer.controller:  # else it may be there: the next `run` looks by name
                    for folder, old in aside:
                        folder.put_back(old)
                    record = replace(record, arrays=record.arrays[:n])
                    submission.write(runs, record)
                elif aside:
                    why += f"; old results are in {runs / 'aside'}, as a job may have been made"
                if not array.stages:
                    note(f"no job for the report ({why}); `report` writes it")
                    return record
                raise HarnessError(
                    f"SLURM refused {array.kind}, {len(array.stages)} stages: {why}. "
                    f"{n} arrays before it were submitted. Mend the site file, and run again"
                ) from error
            job = answer.numbers[array.name]
        record = record.job(n, job)
        submission.write(runs, record)
    return record


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
