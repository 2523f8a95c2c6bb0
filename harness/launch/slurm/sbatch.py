"""One job array for sbatch: submitit's parameters, script, files and pickles.

sbatch is called here and not by submitit, which would wait for it without a time limit.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.launch import job_file
from harness.launch.slurm import clients
from harness.launch.slurm.site import SlurmSite
from harness.store import atomic
from harness.store.submission import Array

if TYPE_CHECKING:
    import submitit

NamedWork = tuple[str, Mapping[str, Any]]
"""A job's work: see `job_file.write`."""
REPORT_GB = 8.0
"""Memory of the report's job if the site file sets a node's memory."""
_TORCHRUN = "RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT"


def executor(
    own: SlurmSite, array: Array, folder: Path, code: Path, waits: str | None
) -> submitit.SlurmExecutor:
    """The submitit executor for the array, with its parameters.

    Args:
        own: how the site requests jobs.
        folder: for the script, the pickles and the logs.
        code: the folder that the jobs import the harness from.
        waits: sbatch's --dependency; None: it waits for nothing.

    Raises:
        HarnessError: the folder's name has characters that sbatch or Python's path cannot take.
    """
    if bad := sorted({c for c in str(folder) if c in "%\\:" or not c.isprintable()}):
        raise HarnessError(
            f"{str(folder)!r}: {' '.join(map(repr, bad))} in a path has a special meaning for "
            "sbatch or Python; choose another run root with --runs, or runs: in the site file"
        )
    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = "USR2"  # read at import
    import submitit

    class Executor(submitit.SlurmExecutor):
        """Also works without SLURM, to show the scripts."""

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
    minutes = math.ceil(60 * getattr(own.hours, array.kind))
    said = {
        "job_name": array.name,
        "partition": own.partition,
        "account": own.account,
        "qos": own.qos,
        "constraint": own.constraint,
        "time": minutes,
        "nodes": 1 if report else own.nodes,
        "ntasks_per_node": processes,
        "cpus_per_task": own.cpus_per_process,
        "gpus_per_node": None if report else own.gpus_per_node or None,
        "mem": None if mem_gb is None else f"{math.ceil(1024 * mem_gb)}M",
        "dependency": waits,
        "signal_delay_s": _warned_s(own.signal_s, minutes),
        "array_parallelism": own.at_once or max(1, len(array.stages)),
        "srun_args": [f"--cpus-per-task={own.cpus_per_process}", "--kill-on-bad-exit=1"],
        "setup": _setup(own, array, folder, code),
        "additional_parameters": options,
    }
    python = shlex.quote(sys.executable)
    executor = Executor(folder, max_num_timeout=own.timeouts, python=python)
    executor.update_parameters(**{name: value for name, value in said.items() if value is not None})
    return executor


def _warned_s(asked: int, minutes: int) -> int:
    """Seconds before the time limit at which a job is warned.

    submitit takes a warning for a preemption if it comes more than 10 minutes and more than a fifth
    of the limit before the end. It does not count those, so that a job without a checkpoint would
    be requeued for ever.
    """
    return min(asked, max(600, 12 * minutes), 30 * minutes)


class NotSubmitted(HarnessError):
    """sbatch made no job, or did not confirm one; the message is its reason."""

    def __init__(self, said: clients.ClientOutput) -> None:
        lines = [line.strip() for line in said.stderr.splitlines() if line.strip()]
        super().__init__(
            said.error if said.silent else "; ".join(dict.fromkeys(lines)) or said.error
        )
        self.silent = said.silent
        """SLURM or its answer was not received: there may still be a job."""


def submitted(
    executor: submitit.SlurmExecutor,
    array: Array,
    folder: Path,
    works: Sequence[NamedWork],
) -> str:
    """Submit one array, whose element n does works[n]; returns its job's number.

    Raises:
        NotSubmitted: sbatch refused it, or does not answer.
        StoreError: the folder cannot be written.
    """
    from submitit.helpers import DelayedSubmission

    path = folder / f"{array.name}.sh"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for n, (work, words) in enumerate(works):
            said = job_file.write(folder / f"{array.name}.{n}.json", work, words)
            delayed = DelayedSubmission(job_file.call, str(said))
            delayed.set_timeout(executor.parameters["time"], executor.max_num_timeout)
            delayed.dump(folder / f"{array.name}.{n}.pkl")
        path.write_text(script(executor, array))
    except OSError as error:
        raise atomic.write_error(error, folder) from error
    answer = clients.submit(path)
    found = re.search(r"job (\d+)", " ".join(answer.lines))
    if found is None:
        raise NotSubmitted(
            answer
            if answer.error
            else clients.ClientOutput(error=f"sbatch said {answer.lines}", silent=True)
        )
    job = found[1]
    with contextlib.suppress(OSError):  # else the job's script does it
        for n in range(len(works)):
            element = f"{job}_{n}" if len(works) > 1 else job
            named = folder / f"{element}_submitted.pkl"
            draft = named.with_suffix(".draft")
            shutil.copyfile(folder / f"{array.name}.{n}.pkl", draft)
            draft.replace(named)
    return job


def script(made: submitit.SlurmExecutor, array: Array) -> str:
    """The script that sbatch would receive."""
    if len(array.stages) > 1:
        made.parameters["map_count"] = len(array.stages)
    return str(made._make_submission_file_text(made._submitit_command_str, ""))


def _load(module: str) -> str:
    """The line that loads a module, or ends the job: without it another library might be used."""
    words = shlex.join(module.split())
    said = shlex.quote(f"cannot load {module} (slurm.modules); see the log")
    return f'module load {words} || {{ echo "error: $SLURMD_NODENAME" {said} >&2; exit 2; }}'


def _setup(own: SlurmSite, array: Array, folder: Path, code: Path) -> list[str]:
    """The script's commands before srun."""
    quoted = shlex.quote(str(code))
    if len(array.stages) > 1:
        job, index = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}", "${SLURM_ARRAY_TASK_ID}"
    else:
        job, index = "${SLURM_JOB_ID}", "0"
    return [
        f"unset {_TORCHRUN}",
        f"export OMP_NUM_THREADS={own.cpus_per_process}",
        *map(_load, own.modules),
        *own.setup,
        "# the submitted code, wherever the job starts",
        f"export PYTHONPATH={quoted}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONSAFEPATH=1",
        "export SUBMITIT_PREEMPT_SIGNAL=USR2",
        "# srun passes on what was set above, whatever --export said",
        "unset SLURM_EXPORT_ENV",
        "# what the job does, if its submitter or its last attempt left that open",
        f"cd {shlex.quote(str(folder))}",
        f'rm -f "{job}"_*.save_tmp',
        f'[ -e "{job}_submitted.pkl" ] || cp "{array.name}.{index}.pkl" "{job}_submitted.pkl"',
    ]
