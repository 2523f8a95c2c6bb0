"""In which state a stage is, decided from all that is known of it. Nothing is read here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.launch.queue import JobState
from harness.launch.reasons import Reason, explain
from harness.plan import ended
from harness.store import ledger

State = Literal[
    "finished", "diverged", "running", "waiting", "interrupted", "cancelled", "failed", "lost",
    "damaged", "unreadable", "unknown", "absent",
]  # fmt: skip
"""For people. waiting: its job is pending. lost: submitted, no result, nobody runs it, and SLURM
does not know it. unknown: SLURM does not answer, or left it open how the job ended. absent: never
begun."""

WAITS = frozenset(("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"))
"""SLURM's words for a job that is alive and not running."""
NEVER = "DependencyNeverSatisfied"


@dataclass(frozen=True)
class Evidence:
    """All that one stage's state is decided from."""

    ledger: ledger.State
    detail: str = ""
    job: JobState | None = None
    """The newest job that it was handed to, unless the stage was run without it since."""
    handed: bool = False
    """It was submitted, though perhaps no job was made."""
    own: bool = False
    """The newest attempt is the job's."""
    ended: str = ""
    """How that attempt says that it ended."""
    lost: str = ""
    """The processes whose death ended it, if it says so: the job is to go on without them."""
    background: bool = False
    """The job is a process of the submitter's machine, which runs a plan's stages in turn."""
    log: str = ""
    """The end of the job's log; read only if the job is over."""
    kind: str = "pretrain"


def decide(seen: Evidence) -> tuple[State, str, str]:
    """(state, why, remedy) of one stage."""
    job = seen.job
    if seen.ledger in ("finished", "diverged", "damaged", "unreadable"):
        return seen.ledger, seen.detail, ""
    if job is None:
        return _without(seen)
    waits = job.live and (job.state in WAITS or job.state == "SUBMITTING")
    stopped = seen.own and ((waits and not job.late) or ended(job))
    if seen.ledger == "running" and not stopped:
        return "running", seen.detail, ""
    if waits:
        return _waiting(seen, job)
    if job.live:
        return _live(seen, job)
    hidden = job.reason and seen.ended == "interrupted" and not seen.background
    if job.state == "UNKNOWN" and (hidden or not seen.ended):  # it may be about to go on
        known = job.job or "of unknown number"
        return "unknown", f"job {known} {job.reason or 'may be alive: SLURM does not answer'}", ""
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


def _without(seen: Evidence) -> tuple[State, str, str]:
    """No job has it."""
    if seen.ledger == "absent" and seen.handed:
        return "lost", "never submitted: its submitter ended before", ""
    if seen.ledger == "failed":
        found = explain(None, ended="failed", message=seen.detail, log="", kind=seen.kind)
        return found.state, found.words, found.remedy
    return seen.ledger, seen.detail, ""


def _waiting(seen: Evidence, job: JobState) -> tuple[State, str, str]:
    if job.state == "SUBMITTING":
        return "waiting", "is being submitted", ""
    if job.reason == NEVER:
        return "cancelled", NEVER, f"scancel {job.job}"
    word = "pending" if job.state == "PENDING" else job.state.lower().replace("_", " ")
    because = f" ({job.reason})" if job.reason else ""
    remedy = f"scontrol release {job.job}" if "held" in job.reason.lower() else ""
    if seen.ledger in ("interrupted", "running"):
        why = f"{_lost(seen)}will go on as job {job.job}: {word}{because}"
        return "interrupted", why, remedy
    return "waiting", f"job {job.job} is {word}{because}", remedy


def _lost(seen: Evidence) -> str:
    return f"{seen.lost} died; " if seen.lost else ""


def _live(seen: Evidence, job: JobState) -> tuple[State, str, str]:
    """SLURM runs it, and no attempt is alive."""
    if seen.own and seen.ledger == "failed":
        found = explain(None, ended="failed", message=seen.detail, log="", kind=seen.kind)
        return found.state, found.words, found.remedy
    if seen.background and not seen.own:
        return "waiting", f"its turn comes in background process {job.job}", ""
    if seen.own and seen.ended == "interrupted" and job.state == "COMPLETING":
        return "interrupted", f"{_lost(seen)}job {job.job} is being requeued or ended", ""
    words = {"COMPLETING": "is ending", "SUSPENDED": "is suspended"}
    return "running", f"job {job.job} {words.get(job.state, 'is starting')}", ""
