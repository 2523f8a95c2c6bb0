"""Failure reasons: why a stage ended without a result, in words, and what to do about it."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.command import Commands
from harness.command import line as plain_line
from harness.launch.job_states import JobState
from harness.store import atomic

End = Literal["failed", "interrupted", "cancelled", "lost"]

TAIL = 16_384
"""Bytes at a log's end that are searched for a reason."""

_OOM = re.compile(r"oom[-_ ]?kill|out[ -]of[ -]memory handler|exceeded .*memory limit", re.I)
_KILLED = re.compile(
    r"\b(?:killed|signal|memory|exited|died|hung|lost contact|connections?|broken pipe|timeout"
    r"|timed out|abruptly|EOFError|BrokenProcessPool|NCCL|gloo)\b",
    re.I,
)
"""An attempt's message, if the kernel may have ended one of its processes. After another message an
older attempt's line in the log says nothing."""
_CUDA_OOM = re.compile(r"CUDA out of memory|CUDA error: out of memory|OutOfMemoryError", re.I)
_NCCL = re.compile(
    r"(?!.*(?:warning:|\bINFO\b))\S.*NCCL.*(?:error|fail|time[d ]?-?out|abort|exception).*", re.I
)
_ERROR = re.compile(r"error: |[\w.]*(?:Error|Exception)\b")
_BY_SLURM = re.compile(r"(?:JOB|STEP) \S+ ON \S+ (?:CANCELLED|FAILED).*")
"""The last message of slurmstepd; "DUE TO ..." gives the reason."""
_DUE = {
    "DUE TO TIME LIMIT": "TIMEOUT",
    "DUE TO NODE FAILURE": "NODE_FAIL",
    "DUE TO PREEMPTION": "PREEMPTED",
    "DUE TO JOB REQUEUE": "PREEMPTED",
}


@dataclass(frozen=True)
class Reason:
    """How and why a stage without a result ended."""

    state: End
    words: str
    remedy: str = ""
    """What to do before it is run again; "" if nothing."""


def failure_reason(
    job: JobState | None,
    *,
    ended: str,
    message: str,
    log: str,
    kind: str = "pretrain",
    user: str = "",
    commands: Commands | None = None,
) -> Reason:
    """Why a stage without a result, which no process or job runs any more, has ended.

    Args:
        job: its job, which has ended; None: it ran without one.
        ended: how its newest attempt ended by its own record; "" if there is no record, or if the
            job made no attempt.
        message: that attempt's message.
        log: the end of the job's log, "" without one.
        kind: the stage's.
        user: who submitted the job; "" if unknown.
        commands: commands for the user of this run root; None: unknown.
    """
    state = _over(job, log)
    where = f" on {job.node}" if job is not None and job.node else ""
    if state == "CANCELLED":
        by = job.reason if job is not None and job.reason.startswith("by ") else ""
        whom = by.removeprefix("by ")
        strange = by and user and whom != user
        why = f"cancelled by {whom}, not {user}: ask why, then run again" if strange else ""
        return Reason("cancelled", f"cancelled {by}".strip(), why)
    killed = ended == "" or (ended == "failed" and _KILLED.search(message))
    killed = killed and not _CUDA_OOM.search(message)
    if state == "OUT_OF_MEMORY" or (killed and _OOM.search(log)):
        return Reason("failed", f"out of memory{where}", "raise slurm.mem_gb in the site file")
    if ended == "failed" and _CUDA_OOM.search(message):
        how = "slurm.gpus_per_node, slurm.nodes" if job is not None else "--processes"
        return Reason(
            "failed",
            f"out of memory on the GPU{where}",
            f"use more GPUs for the stage ({how}), or larger ones; the batch belongs to the recipe",
        )
    if ended in ("failed", "") and (line := _nccl(message if ended == "failed" else log)):
        return Reason(
            "failed", f"NCCL: {line}", "read the logs of all processes, and check the network"
        )
    if ended == "failed":
        return Reason("failed", message, _mend_python(commands) if _IMPORT.match(message) else "")
    if state == "TIMEOUT":
        remedy = f"run again to resume from the last checkpoint, or raise slurm.hours.{kind}"
        return Reason("failed", "time limit", f"{remedy} in the site file")
    if state in ("NODE_FAIL", "BOOT_FAIL"):
        what = "the node failed" if state == "NODE_FAIL" else "the node could not boot"
        return Reason("failed", f"{what}{where}", _OTHER_NODE)
    if state == "PREEMPTED":
        return Reason("interrupted", "preempted, and not requeued", "run again to resume")
    if state == "DEADLINE":
        remedy = "raise or remove it: slurm.extra.deadline in the site file"
        return Reason("failed", "the job's deadline passed", remedy)
    if ended:
        return Reason("interrupted", message)
    if state in ("FAILED", "COMPLETED"):
        return _last_words(job, log, where, commands)
    if job is None:
        return Reason("interrupted", message)
    return Reason("lost", "its job left the queue, and its final state is unknown")


_OTHER_NODE = "run again to resume; leave out a node that fails again (slurm.extra.exclude)"
_IMPORT = re.compile(r"ModuleNotFoundError|ImportError|.*\(ModuleNotFoundError")
_NO_PROGRAM = re.compile(r"(?:execve\(\)|line \d+): (/\S+): (.+)")
"""Messages of slurmstepd, or of the shell, for a program that cannot be started."""


def _over(job: JobState | None, log: str) -> str:
    """SLURM's state for the end; without accounting, the one that the log shows."""
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


_UNOPENED = 53
"""SLURM's "signal" for a job whose log could not be opened on its node."""
_TASK = re.compile(r"^srun: error: .*?\btasks? \S+: (.+?)(?: \(core dumped\))?$", re.MULTILINE)
"""srun's message about the first process of a job that died."""
_BY_WORDS = {signal.strsignal(each): int(each) for each in signal.valid_signals()}
_CODES = {
    "2": "the recipe or the site file is wrong",
    "3": "data is missing or broken",
    "5": "a newer process has taken over the run",
    "126": "a program is not executable",
    "127": "a program was not found",
}
_NAMES = {each.value: each.name for each in signal.Signals}
_SIGNALS: dict[int, tuple[str, str]] = {
    signal.SIGKILL: (
        ", by a person or because memory ran out",
        "if memory ran out, raise slurm.mem_gb",
    ),
    signal.SIGBUS: (", no space left for a file or in /dev/shm", "free some space on the node"),
    signal.SIGILL: (
        ", a library was built for another CPU",
        "exclude such nodes (slurm.constraint)",
    ),
    signal.SIGXCPU: (", CPU time limit exceeded", "raise it (ulimit -t) before you submit"),
    signal.SIGXFSZ: (", file size limit exceeded", "raise it (ulimit -f) before you submit"),
}


def _line(commands: Commands | None, *words: str) -> str:
    return plain_line(*words) if commands is None else commands.line(*words)


def _mend_python(commands: Commands | None) -> str:
    return (
        "install what is missing in the environment that calls run, or change modules: and "
        f"setup: in the site file; {_line(commands, 'doctor', '--submit')} checks a node's Python"
    )


def _seen_by_all(commands: Commands | None) -> str:
    return (
        "set runs: in the site file to a folder that all nodes can read and write; "
        f"{_line(commands, 'doctor', '--submit')} checks a node"
    )


def _last_words(job: JobState | None, log: str, where: str, commands: Commands | None) -> Reason:
    """The reason for a job that wrote none: its signal, its log's last line, or its exit code."""
    code, _, number = (job.exit if job is not None else "").partition(":")
    killed = int(number or 0) if number.isdecimal() else 0
    if died := _TASK.search(log):  # srun may exit with the signal's plain number
        killed = killed or _BY_WORDS.get(died[1], 0)
    if killed == 0 and code.isdecimal() and int(code) > 128:
        killed = int(code) - 128  # as a shell reports a signal
    runs = "the run root" if commands is None else commands.runs
    if killed == _UNOPENED:
        why = f"its log could not be opened{where}, which cannot see {runs} or cannot write to it"
        return Reason("failed", why, _seen_by_all(commands))
    if job is not None and job.reason == "JobLaunchFailure" and not (job.exit or log):
        why = f"it was killed, or could not start{where}: perhaps that node cannot see {runs}"
        return Reason(
            "failed", why, _seen_by_all(commands)
        )  # only accounting tells which signal it was
    lines = [line.strip() for line in log.splitlines()]
    if absent := next((found for line in lines if (found := _NO_PROGRAM.search(line))), None):
        return Reason(
            "failed",
            f"{absent[1]} cannot be started{where}: {absent[2]}",
            "move the environment that calls run to a folder that all nodes see",
        )
    if killed:
        what, remedy = _SIGNALS.get(killed, ("", ""))
        name = f", {_NAMES[killed]}" if killed in _NAMES else ""
        return Reason("failed", f"killed (signal {killed}){name}{where}{what}", remedy)
    errors = [line[:300] for line in lines if _ERROR.match(line) or _IMPORT.match(line)]
    if errors and errors[-1].startswith("error: "):
        return Reason("failed", errors[-1].removeprefix("error: "))  # one of our own messages
    if code == "4" and not errors:
        return Reason(
            "failed",
            f"nothing could be written{where}, not even the log: the disk of {runs} is full, over "
            "quota or read-only",
            f"free some space there ({_line(commands, 'gc')} lists what can be deleted), and run "
            "again to resume",
        )
    said = f"; its log ends: {errors[-1]}" if errors else ""
    remedy = _mend_python(commands) if errors and _IMPORT.match(errors[-1]) else ""
    if job is not None and job.state == "COMPLETED":
        return Reason("failed", f"the job ended without a result{said}", remedy)
    meant = f" ({_CODES[code]})" if code in _CODES and not errors else ""
    return Reason("failed", f"the job ended with code {code or '?'}{meant}{said}", remedy)


def tail(path: Path) -> str:
    """The end of a log; "" if there is none."""
    try:
        with atomic.opened(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
