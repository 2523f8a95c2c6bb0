"""In which state a stage is, decided from all that is known of it. Nothing is read here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.launch.queue import JobState
from harness.launch.reasons import Reason, explain

State = Literal[
    "finished", "diverged", "running", "waiting", "interrupted", "cancelled", "failed", "lost",
    "damaged", "unknown", "absent",
]  # fmt: skip
"""For people. waiting: its job is pending. lost: submitted, no result, nobody runs it, and SLURM
does not know it. unknown: SLURM does not answer, or left it open how the job ended. absent: never
begun."""

GRACE_S = 60.0
"""A job that SLURM no longer knows is lost so many seconds after the last that was heard of it:
accounting lags behind by some, and a submission is some seconds old before all of it is known."""

WAITS = frozenset(("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"))
"""SLURM's words for a job that is alive and not running."""
NEVER = "DependencyNeverSatisfied"


@dataclass(frozen=True)
class Evidence:
    """All that one stage's state is decided from."""

    ledger: str
    """The ledger's state."""
    detail: str = ""
    job: JobState | None = None
    """The newest job that it was handed to, unless the stage was run without it since."""
    handed: bool = False
    """It was submitted, though perhaps no job was made."""
    own: bool = False
    """The newest attempt is the job's."""
    ended: str = ""
    """How that attempt says that it ended."""
    background: bool = False
    """The job is a process of the submitter's machine, which runs a plan's stages in turn."""
    quiet_s: float = 1e9
    """Seconds since anything was last heard of it."""
    log: str = ""
    """The end of the job's log; read only if the job is over."""
    kind: str = "pretrain"


def decide(seen: Evidence) -> tuple[State, str, str]:
    """(state, why, remedy) of one stage."""
    job, ledger = seen.job, seen.ledger
    if ledger in ("finished", "diverged", "damaged"):
        return ledger, seen.detail, ""  # type: ignore[return-value]
    if job is None:
        return _without(seen)
    waits = job.live and (job.state in WAITS or job.state == "SUBMITTING")
    if ledger == "running" and not (seen.own and (waits or _ended(job))):
        return "running", seen.detail, ""
    if waits:
        return _waiting(seen, job)
    if job.live:
        return _live(seen, job)
    if job.state == "UNKNOWN" and not seen.ended:
        return "unknown", f"job {job.job or 'of unknown number'}: SLURM does not answer", ""
    fresh = seen.quiet_s < GRACE_S and not seen.background  # of a process nothing lags behind
    if job.state == "GONE" and not seen.ended and fresh:
        return "unknown", f"job {job.job} has left the queue; how it ended is not known yet", ""
    found = explain(
        job,
        ended=seen.ended if seen.own else "",
        message=seen.detail,
        log=seen.log,
        kind=seen.kind,
    )
    if seen.background and found.state == "lost":
        found = Reason("lost", "its background process has ended")
    return found.state, found.words, found.remedy


def _ended(job: JobState) -> bool:
    return not job.live and job.state not in ("GONE", "UNKNOWN")


def _without(seen: Evidence) -> tuple[State, str, str]:
    """No job has it."""
    if seen.ledger == "absent" and seen.handed:
        return "lost", "never submitted: its submitter ended before", ""
    if seen.ledger == "failed":
        found = explain(None, ended="failed", message=seen.detail, log="", kind=seen.kind)
        return found.state, found.words, found.remedy
    return seen.ledger, seen.detail, ""  # type: ignore[return-value]


def _waiting(seen: Evidence, job: JobState) -> tuple[State, str, str]:
    if job.state == "SUBMITTING":
        return "waiting", "is being submitted", ""
    if job.reason == NEVER:
        return "cancelled", NEVER, f"scancel {job.job}"
    word = "pending" if job.state == "PENDING" else job.state.lower().replace("_", " ")
    because = f" ({job.reason})" if job.reason else ""
    remedy = f"scontrol release {job.job}" if "held" in job.reason.lower() else ""
    if seen.ledger in ("interrupted", "running"):
        return "interrupted", f"will go on as job {job.job}: {word}{because}", remedy
    return "waiting", f"job {job.job} is {word}{because}", remedy


def _live(seen: Evidence, job: JobState) -> tuple[State, str, str]:
    """SLURM runs it, and no attempt is alive."""
    if seen.own and seen.ledger == "failed":
        found = explain(None, ended="failed", message=seen.detail, log="", kind=seen.kind)
        return found.state, found.words, found.remedy
    if seen.background and not seen.own:
        return "waiting", f"its turn comes in background process {job.job}", ""
    if seen.own and seen.ended == "interrupted" and job.state == "COMPLETING":
        return "interrupted", f"job {job.job} is being requeued or ended", ""
    words = {"COMPLETING": "is ending", "SUSPENDED": "is suspended"}
    return "running", f"job {job.job} {words.get(job.state, 'is starting')}", ""
