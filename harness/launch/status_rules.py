"""Rules that decide a stage's status from the evidence. Nothing is read here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.command import Commands
from harness.launch.failure_reason import Reason, failure_reason
from harness.launch.job_states import JobState, meaning, remedy
from harness.plan import ended
from harness.store import ledger
from harness.store.liveness import Unresponsive

StageState = Literal[
    "finished", "diverged", "running", "suspended", "silent", "ending", "waiting", "held",
    "interrupted", "cancelled", "failed", "lost", "damaged", "unreadable", "unknown", "absent",
]  # fmt: skip
"""suspended: its job or process is stopped and can resume. silent: its process, or its node, does
not answer. ending: its job was ended but is not gone yet. waiting: its job is pending. held:
pending, and a person must release it. lost: submitted, no result, nothing runs it, and its
scheduler does not list it. unknown: the scheduler does not answer, or does not know how the job
ended. absent: never started."""

ALIVE: frozenset[StageState] = frozenset(
    ("running", "suspended", "silent", "ending", "waiting", "held", "unknown")
)
"""States of a stage that a process or job works on, may work on, or will without a new command."""
NEVER = "DependencyNeverSatisfied"


@dataclass(frozen=True)
class Evidence:
    """Everything that decides one stage's status."""

    ledger: ledger.FileState
    detail: str = ""
    job: JobState | None = None
    """The newest job that has the stage, unless the stage was run again without it."""
    handed: bool = False
    """It was submitted, though perhaps no job was made."""
    own: bool = False
    """The newest attempt belongs to the job."""
    ended: str = ""
    """How that attempt ended, by its own record."""
    lost: str = ""
    """Ranks whose death ended it, by its own record; the job will then be requeued."""
    background: bool = False
    """The job runs a plan's stages in the background of the submitter's machine."""
    unresponsive: Unresponsive = ""
    """What is wrong with the process that runs it."""
    no_answer: bool = False
    """The job's node does not answer its scheduler."""
    log: str = ""
    """The end of the job's log; read only if the job is over."""
    user: str = ""
    """The user who submitted the job."""
    commands: Commands | None = None
    """Commands for the user of this run root."""
    kind: str = "pretrain"


def status_of(seen: Evidence) -> tuple[StageState, str, str]:
    """(state, reason, remedy) of one stage."""
    job = seen.job
    if seen.ledger in ("finished", "diverged", "damaged", "unreadable"):
        return seen.ledger, seen.detail, ""
    if job is None:
        return _running(seen, None) if seen.ledger == "running" else _without(seen)
    waits = job.live and job.phase in ("waits", "held")
    stopped = seen.own and ((waits and not job.late) or ended(job))
    if seen.ledger == "running" and not stopped:
        return _running(seen, job)
    if waits:
        return _waiting(seen, job)
    if job.live:
        return _live(seen, job)
    hidden = job.reason and seen.ended == "interrupted" and not seen.background
    if job.state == "UNKNOWN" and (hidden or not seen.ended):  # it may be about to resume
        why = job.reason or f"may be alive: {job.scheduler} does not answer"
        return "unknown", f"job {job.job or 'of unknown number'} {why}", ""
    found = failure_reason(
        job,
        ended=seen.ended if seen.own else "",
        message=seen.detail,
        log=seen.log,
        kind=seen.kind,
        user=seen.user,
        commands=seen.commands,
    )
    if seen.background and found.state == "lost":
        found = Reason("lost", "its background process has ended")
    return found.state, found.words, found.remedy


def _without(seen: Evidence) -> tuple[StageState, str, str]:
    """The status without a job."""
    if seen.ledger == "absent" and seen.handed:
        return "lost", "never submitted: the submitting process ended early", ""
    if seen.ledger == "failed":
        found = _failed(seen)
        return found.state, found.words, found.remedy
    return seen.ledger, seen.detail, ""


def _failed(seen: Evidence) -> Reason:
    """The reason of an attempt that recorded its own failure."""
    said, commands = seen.detail, seen.commands
    return failure_reason(
        None, ended="failed", message=said, log="", kind=seen.kind, commands=commands
    )


_UNRESPONSIVE: dict[Unresponsive, StageState] = {
    "": "running",
    "stopped": "suspended",
    "silent": "silent",
}


def _running(seen: Evidence, job: JobState | None) -> tuple[StageState, str, str]:
    """The status while its process has not ended, by its files."""
    if job is not None and job.live and seen.own:
        if job.phase == "paused":
            return _paused(job)
        if job.phase == "ends":
            return "ending", f"job {job.job} {job.says}", ""
        if seen.no_answer and seen.unresponsive:
            return _no_answer(job)
    return _UNRESPONSIVE[seen.unresponsive], seen.detail, ""


def _paused(job: JobState) -> tuple[StageState, str, str]:
    return "suspended", f"job {job.job} {job.says}", ""


def _no_answer(job: JobState) -> tuple[StageState, str, str]:
    by = job.scheduler
    why = f"job {job.job} is running according to {by}, but its node {job.node} does not answer"
    return "silent", why, f"wait until {by} requeues or ends the job; or cancel it, and run again"


def _waiting(seen: Evidence, job: JobState) -> tuple[StageState, str, str]:
    if job.state == "SUBMITTING":
        return "waiting", "is being submitted", ""
    if job.reason == NEVER:
        return "cancelled", NEVER, f"scancel {job.job}"
    words = meaning(job.state, job.reason).words
    because = f" ({job.reason})" if job.reason else ""
    do = remedy(job.job, job.state, job.reason)
    begun = seen.ledger in ("interrupted", "running")
    if begun:
        what = words.removeprefix("is ")
        why = f"{_lost(seen)}will resume as job {job.job}: {what}{because}"
    else:
        why = f"job {job.job} {words}{because}"
    if job.phase == "held":
        return "held", why, do
    return "interrupted" if begun else "waiting", why, do


def _lost(seen: Evidence) -> str:
    return f"{seen.lost} died; " if seen.lost else ""


def _live(seen: Evidence, job: JobState) -> tuple[StageState, str, str]:
    """The status while a job has it and no attempt runs."""
    if seen.own and seen.ledger == "failed":
        found = _failed(seen)
        return found.state, found.words, found.remedy
    if seen.background and not seen.own:
        return "waiting", f"waits for its turn in background process {job.job}", ""
    match job.phase:
        case "ends" if seen.own and seen.ended == "interrupted":
            return "interrupted", f"{_lost(seen)}job {job.job} is being requeued or ended", ""
        case "ends":
            return "ending", f"job {job.job} {job.says}", ""
        case "paused":
            return _paused(job)
        case "starts":
            return "waiting", f"job {job.job} {job.says}", ""
        case _ if seen.no_answer:
            return _no_answer(job)
    return "running", f"job {job.job} is starting", ""
