"""Hand a plan to SLURM through submitit, and write down what was handed over.

All that a job needs lies in RUNS/submissions/<id>/ before sbatch is called. submitit puts a job's
pickle under the job's number only after that, so each script does it too if need be: the jobs of a
submitter that died run as well as any others.
"""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.launch import snapshot
from harness.launch.arrays import arrays, dependency
from harness.launch.job import ReportJob, StageJob
from harness.launch.queue import JobState, Queue
from harness.plan import Plan, describe, over
from harness.site import Site, SlurmSite
from harness.store import atomic, submission
from harness.store.layout import stage_folder
from harness.store.life import holder
from harness.store.submission import Array, Submission

if TYPE_CHECKING:
    import submitit

REPORT_GB = 8.0
"""Memory of the report's job where the site file says how much a node has."""
_TORCHRUN = "RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT"


def scripts(plan: Plan, site: Site, jobs: Mapping[str, JobState]) -> list[tuple[Array, str]]:
    """The sbatch scripts that `submit` would submit now, JOB0 standing for the first one's job."""
    own, sid = _own(site), submission.new_id()
    made = arrays(plan, sid, most=own.max_array, live=_numbers(jobs))
    folder = submission.folder(site.runs.absolute(), sid)
    names = [f"JOB{n}" for n in range(len(made))]
    found = []
    for array in made:
        waits = dependency(array, names)
        executor = _executor(own, array, folder, snapshot.place(site.runs), waits)
        if len(array.stages) > 1:
            executor.parameters["map_count"] = len(array.stages)
        text = executor._make_submission_file_text(executor._submitit_command_str, "")
        found.append((array, text))
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
        StoreError: the run root cannot be written.
    """
    own, runs = _own(site), site.runs.absolute()
    code = snapshot.take(runs, clean=own.snapshot == "refuse_dirty")
    sid = submission.new_id()
    folder = submission.folder(runs, sid)
    recipe = snapshot.keep_recipe(plan, folder / "recipes")
    record = submission.new(
        sid,
        on="slurm",
        recipe=str(plan.path),
        sets=sets,
        name=plan.name,
        code=str(code),
        arrays=arrays(plan, sid, most=own.max_array, live=_numbers(jobs)),
    )
    submission.write(runs, record)
    report = ReportJob(str(recipe), tuple(sets), str(runs), str(code))
    for n, array in enumerate(record.arrays):
        _make_folders(plan, array, runs)
        works = [_stage_job(stage, site, own, code) for stage in array.stages]
        waits = dependency(array, [a.job for a in record.arrays])
        executor = _executor(own, array, folder, code, waits)
        try:
            job = _submitted(executor, array, folder, works or [report])
        except Exception as error:
            answer = Queue().ask([array], record.t)
            if array.name not in answer.numbers:
                if answer.controller:  # else it may be there: the next `run` looks by name
                    record = replace(record, arrays=record.arrays[:n])
                    submission.write(runs, record)
                if not array.stages:
                    note(f"no job for the report ({_last_line(error)}); `report` writes it")
                    return record
                raise HarnessError(
                    f"SLURM refused {array.kind}, {len(array.stages)} stages: {_last_line(error)}. "
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


def bury(runs: Path, jobs: Mapping[str, JobState]) -> None:
    """End the attempts whose jobs SLURM has ended, so that no job waits for their silence."""
    for stage, job in jobs.items():
        if not over(job):
            continue
        attempts = stage_folder(runs, stage).attempts()
        who = holder(attempts[-1]) if attempts else None
        if who is not None and (who.get("slurm") or {}).get("job") == job.job:
            message = f"SLURM ended its job {job.job} ({job.state})"
            words = {"how": "interrupted", "message": message, "t": round(time.time())}
            atomic.write_json(attempts[-1] / "ended.json", words)


def _own(site: Site) -> SlurmSite:
    if site.slurm is None:
        raise HarnessError(
            "the site file has no section slurm:; say there how jobs are asked for, at least "
            "`slurm: {gpus_per_node: 8}`"
        )
    return site.slurm


def _numbers(jobs: Mapping[str, JobState]) -> dict[str, str]:
    return {stage: job.job for stage, job in jobs.items() if job.live and job.job}


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def _make_folders(plan: Plan, array: Array, runs: Path) -> None:
    """The folders of the array's stages; those to be run anew begin empty."""
    by_id = {stage.id: stage for stage in plan.todo}
    for stage in (by_id[stage_id] for stage_id in array.stages):
        folder = stage_folder(runs, stage.id)
        if stage.action == "again":
            folder.set_aside()
        folder.create(describe(stage, plan.name))


def _stage_job(stage: str, site: Site, own: SlurmSite, code: Path) -> StageJob:
    folder = stage_folder(site.runs.absolute(), stage)
    data = str(site.data.absolute())
    return StageJob(str(folder.path), data, site.device, str(code), own.stage_data)


def _submitted(
    executor: submitit.SlurmExecutor,
    array: Array,
    folder: Path,
    works: Sequence[StageJob | ReportJob],
) -> str:
    """Submit one array; returns its job's number."""
    from submitit.helpers import DelayedSubmission

    folder.mkdir(parents=True, exist_ok=True)
    for n, work in enumerate(works):
        delayed = DelayedSubmission(work)
        delayed.set_timeout(executor.parameters["time"], executor.max_num_timeout)
        delayed.dump(folder / f"{array.name}.{n}.pkl")
    with _outside_of_jobs():
        jobs = executor.submit_array(works)
    return str(jobs[0].job_id).partition("_")[0]


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Without the variables of a job that `run` itself may be in, which sbatch would obey; with
    what the user wants of sbatch and of SLURM's clients."""
    from submitit.helpers import clean_env

    kept = {k: v for k, v in os.environ.items() if k == "SLURM_CONF" or k.startswith("SBATCH_")}
    with clean_env():
        os.environ.update(kept)
        yield


def _executor(
    own: SlurmSite, array: Array, folder: Path, code: Path, waits: str | None
) -> submitit.SlurmExecutor:
    """What submits the array: its parameters, in submitit's words."""
    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = "USR2"  # read as it is imported
    import submitit

    class Executor(submitit.SlurmExecutor):
        """Also where SLURM is not, for a look at the scripts."""

        @classmethod
        def affinity(cls) -> int:
            return 2

    report = not array.stages
    options: dict[str, Any] = {
        "requeue": True,
        **({"kill-on-invalid-dep": "yes"} if waits else {}),
        **{name: value for name, value in own.extra.items() if value is not False},
    }
    mem_gb = min(own.mem_gb, REPORT_GB) if own.mem_gb and report else own.mem_gb
    processes = 1 if report else own.processes
    said = {
        "job_name": array.name,
        "partition": own.partition,
        "account": own.account,
        "qos": own.qos,
        "constraint": own.constraint,
        "time": math.ceil(60 * getattr(own.hours, array.kind)),
        "nodes": 1 if report else own.nodes,
        "ntasks_per_node": processes,
        "cpus_per_task": own.cpus_per_process,
        "gpus_per_node": None if report else own.gpus_per_node or None,
        "mem": None if mem_gb is None else f"{math.ceil(1024 * mem_gb)}M",
        "dependency": waits,
        "signal_delay_s": own.signal_s,
        "array_parallelism": own.at_once or max(1, len(array.stages)),
        "srun_args": [f"--cpus-per-task={own.cpus_per_process}", "--kill-on-bad-exit=1"],
        "setup": _setup(own, array, folder, code),
        "additional_parameters": options,
    }
    python = shlex.quote(sys.executable)
    executor = Executor(folder, max_num_timeout=own.timeouts, python=python)
    executor.update_parameters(**{name: value for name, value in said.items() if value is not None})
    return executor


def _setup(own: SlurmSite, array: Array, folder: Path, code: Path) -> list[str]:
    """What the script does before srun."""
    quoted = shlex.quote(str(code))
    if len(array.stages) > 1:
        job, index = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}", "${SLURM_ARRAY_TASK_ID}"
    else:
        job, index = "${SLURM_JOB_ID}", "0"
    return [
        f"unset {_TORCHRUN}",
        f"export OMP_NUM_THREADS={own.cpus_per_process}",
        *(f"module load {shlex.join(module.split())}" for module in own.modules),
        *own.setup,
        "# the code that was submitted, wherever the job begins",
        f"export PYTHONPATH={quoted}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONSAFEPATH=1",
        "export SUBMITIT_PREEMPT_SIGNAL=USR2",
        "# what the job does, should its submitter or its last life have left it unsaid",
        f"cd {shlex.quote(str(folder))}",
        f'rm -f "{job}"_*.save_tmp',
        f'[ -e "{job}_submitted.pkl" ] || cp "{array.name}.{index}.pkl" "{job}_submitted.pkl"',
    ]
