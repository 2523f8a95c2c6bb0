"""Why a stage that has no result ended, in words, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.launch.queue import JobState

End = Literal["failed", "interrupted", "cancelled", "lost"]

TAIL = 16_384
"""Bytes of a log's end in which a reason is looked for."""

_OOM = re.compile(r"oom[-_ ]?kill|out[ -]of[ -]memory handler|exceeded .*memory limit", re.I)
_CUDA_OOM = re.compile(r"CUDA out of memory|CUDA error: out of memory|OutOfMemoryError", re.I)
_NCCL = re.compile(r"\S.*NCCL.*(?:error|fail|time[d ]?-?out|abort|exception).*", re.I)
_ERROR = re.compile(r"error: |[\w.]*(?:Error|Exception)\b")
_BY_SLURM = re.compile(r"(?:JOB|STEP) \S+ ON \S+ (?:CANCELLED|FAILED).*")
"""slurmstepd's last words; "DUE TO ..." tells why."""
_DUE = {
    "DUE TO TIME LIMIT": "TIMEOUT",
    "DUE TO NODE FAILURE": "NODE_FAIL",
    "DUE TO PREEMPTION": "PREEMPTED",
    "DUE TO JOB REQUEUE": "PREEMPTED",
}


@dataclass(frozen=True)
class Reason:
    """How a stage without a result ended."""

    state: End
    words: str
    remedy: str = ""
    """What to do before it is run again, "" if nothing."""


def explain(
    job: JobState | None, *, ended: str, message: str, log: str, kind: str = "pretrain"
) -> Reason:
    """The reason why a stage that nobody runs any more has no result.

    Args:
        job: its job, which is over; None: it ran without one.
        ended: how its newest attempt says that it ended, "" if it could not say so, or if the job
            made no attempt.
        message: what that attempt says.
        log: the end of the job's log, "" without one.
        kind: the stage's.
    """
    state = _over(job, log)
    where = f" on {job.node}" if job is not None and job.node else ""
    if state == "CANCELLED":
        by = job.reason if job is not None and job.reason.startswith("by ") else ""
        return Reason("cancelled", f"cancelled {by}".strip())
    if state == "OUT_OF_MEMORY" or (ended != "interrupted" and _OOM.search(log)):
        return Reason("failed", f"out of memory{where}", "raise slurm.mem_gb in the site file")
    if ended == "failed" and _CUDA_OOM.search(message):
        return Reason(
            "failed",
            f"out of memory on the GPU{where}",
            "share the stage among more GPUs (slurm.gpus_per_node, slurm.nodes), or take larger "
            "ones; the batch belongs to the recipe",
        )
    if ended in ("failed", "") and (line := _nccl(f"{log}\n{message}")):
        return Reason("failed", f"NCCL: {line}", "look at all processes' logs, and at the network")
    if ended == "failed":
        return Reason("failed", message)
    if state == "TIMEOUT":
        remedy = f"it goes on from its last checkpoint; or raise slurm.hours.{kind}"
        return Reason("failed", "time limit", f"{remedy} in the site file")
    if state in ("NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED", "RECONFIG_FAIL"):
        return Reason("failed", f"the node failed{where}")
    if state == "PREEMPTED":
        return Reason("interrupted", "preempted, and not requeued")
    if state == "DEADLINE":
        return Reason("failed", "the job's deadline passed")
    if ended:
        return Reason("interrupted", message)
    if state in ("FAILED", "COMPLETED"):
        return Reason("failed", _last_words(job, log))
    if job is None:
        return Reason("interrupted", message)
    return Reason("lost", "its job left the queue, and nobody says how it ended")


def _over(job: JobState | None, log: str) -> str:
    """SLURM's word for the end; without accounting, what the log says of it."""
    if job is None or job.state not in ("GONE", "UNKNOWN"):
        return job.state if job is not None else ""
    said = _BY_SLURM.findall("\n".join(log.splitlines()[-30:]))
    if not said:
        return ""
    due = (state for words, state in _DUE.items() if words in said[-1])
    return next(due, "CANCELLED" if "CANCELLED" in said[-1] else "NODE_FAIL")


def _nccl(text: str) -> str:
    found = _NCCL.findall(text)
    return found[-1].strip()[:300] if found else ""


def _last_words(job: JobState | None, log: str) -> str:
    """How a job that left no word of its own ended: a signal, its log's last line, a code."""
    code, _, signal = (job.exit if job is not None else "").partition(":")
    number = int(signal or 0) if signal.isdecimal() else 0
    if number == 0 and code.isdecimal() and int(code) > 128:
        number = int(code) - 128  # as a shell tells of a signal
    if number == 9:
        return "killed (signal 9), by hand or for want of memory"
    if number:
        return f"killed (signal {number})"
    told = [line.strip()[:300] for line in log.splitlines() if _ERROR.match(line)]
    if told and told[-1].startswith("error: "):
        return told[-1].removeprefix("error: ")  # a sentence of our own
    said = f"; its log ends: {told[-1]}" if told else ""
    if job is not None and job.state == "COMPLETED":
        return f"the job ended without a result{said}"
    return f"the job ended with code {code or '?'}{said}"


def tail(path: Path) -> str:
    """The end of a log; "" if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
