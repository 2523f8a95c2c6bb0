"""Job states: SLURM's words, used for all launchers, and what each means here. The only list
of them.

What follows from a phase, where the stage has no result:

    phase      status                          plan, run     cancel
    waits      waiting; interrupted if it was  busy          scancel
               started and will resume
    held       held; a person must release it  busy, says so scancel
    starts     waiting                         busy          scancel
    runs       running; silent if its process  busy          scancel
               or its node does not answer
    paused     suspended                       busy, says so scancel
    ends       ending                          busy          scancel, as it may be requeued
    over       by the records of its end       to do         no job to stop
    elsewhere  unknown                         refused       refused

A state that is not in the table is a newer SLURM's. Its job may be alive, so nothing is submitted
twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from harness.spec.registry import launchers

Phase = Literal["waits", "held", "starts", "runs", "paused", "ends", "over", "elsewhere"]


@dataclass(frozen=True)
class Meaning:
    """The meaning of one SLURM state."""

    phase: Phase
    words: str
    """Text after "job 12"; none for a job that is over, as failure_reason.py describes it."""


STATES = {
    # base states of a job
    "PENDING": Meaning("waits", "is pending"),
    "RUNNING": Meaning("runs", "is running"),
    "SUSPENDED": Meaning(
        "paused", "is suspended by an administrator or for another job, until SLURM resumes it"
    ),
    "BOOT_FAIL": Meaning("over", ""),
    "CANCELLED": Meaning("over", ""),
    "COMPLETED": Meaning("over", ""),
    "DEADLINE": Meaning("over", ""),
    "FAILED": Meaning("over", ""),
    "NODE_FAIL": Meaning("over", ""),
    "OUT_OF_MEMORY": Meaning("over", ""),
    "PREEMPTED": Meaning("over", ""),
    "TIMEOUT": Meaning("over", ""),
    # flags that squeue shows instead of the base state
    "COMPLETING": Meaning("ends", "is ending, or being requeued"),
    "STAGE_OUT": Meaning("ends", "is ending: its burst buffer is being saved"),
    "CONFIGURING": Meaning("starts", "is starting: its nodes are being prepared"),
    "POWER_UP_NODE": Meaning("starts", "is starting: its nodes are booting"),
    "RESIZING": Meaning("runs", "is running, and being resized"),
    "SIGNALING": Meaning("runs", "is running, and being signalled"),
    "UPDATE_DB": Meaning("runs", "is running"),
    "STOPPED": Meaning("paused", "is stopped (SIGSTOP), and keeps its nodes"),
    "REQUEUED": Meaning("waits", "is requeued"),
    "REQUEUE_FED": Meaning("waits", "is requeued in its cluster federation"),
    "EXPEDITING": Meaning("waits", "is requeued, with top priority"),
    "REQUEUE_HOLD": Meaning("held", "is requeued and held"),
    "SPECIAL_EXIT": Meaning("held", "is requeued and held after a special exit"),
    "RESV_DEL_HOLD": Meaning("held", "is held, as its reservation was deleted"),
    # flags of a job that SLURM requeues because of its node
    "LAUNCH_FAILED": Meaning("waits", "is requeued, as its node could not launch it"),
    "RECONFIG_FAIL": Meaning("waits", "is requeued, as its node could not be prepared"),
    "REVOKED": Meaning(
        "elsewhere", "was revoked, as another cluster of its federation runs it: call status there"
    ),
    # our own states, which SLURM does not have (JobState)
    "SUBMITTING": Meaning("waits", "is being submitted"),
    "UNKNOWN": Meaning("elsewhere", ""),
    "GONE": Meaning("over", ""),
}


def meaning(state: str, reason: str = "") -> Meaning:
    """The meaning of SLURM's state and reason: a held job may have the state PENDING."""
    found = STATES.get(state)
    if found is None:
        return Meaning("runs", f"is {state.lower().replace('_', ' ')}")
    if state == "PENDING" and "held" in reason.lower():  # JobHeldUser, launch failed requeued held
        return Meaning("held", "is held")
    return found


def is_live(state: str) -> bool:
    """Whether a job in this state is running, or will run, on the cluster that was asked."""
    return meaning(state).phase not in ("over", "elsewhere")


def remedy(job: str, state: str, reason: str) -> str:
    """What the user must do so that a waiting job starts; "" if they only have to wait."""
    phase = meaning(state, reason).phase
    if phase == "held" and "admin" in reason.lower():
        return f"an administrator holds job {job}: ask your administrators"
    if phase == "held":
        return f"scontrol release {job}"
    if state == "STOPPED":
        return f"scancel --signal=CONT {job}"
    blocked = (what for pattern, what in _BLOCKED.items() if re.match(pattern, reason))
    return next(blocked, "") if phase == "waits" else ""


def never_starts(reason: str) -> bool:
    """Whether a job with this pending reason can never start as it was requested."""
    return any(re.match(pattern, reason) for pattern in _NEVER)


_NEVER = {
    r"PartitionTimeLimit": "lower slurm.hours in the site file, cancel it, and run again",
    r"PartitionNodeLimit": "lower slurm.nodes in the site file, cancel it, and run again",
    r"(BadConstraints|PartitionConfig)": "no node has what it requests: change the site file, "
    "cancel it, and run again",
    r"(AccountNotAllowed|InvalidAccount)": "name another slurm.account, cancel it, and run again",
    r"(QOSNotAllowed|InvalidQOS)": "name another slurm.qos, cancel it, and run again",
    r"(Assoc|QOS)(Max|Min)\w+Per(Job|Node)": "your account or qos does not allow a job of this "
    "size: request less in the site file, cancel it, and run again; doctor shows the limits",
}
"""What to do about a job that would wait forever, by the start of SLURM's reason."""
_BLOCKED = {
    **_NEVER,
    r"Partition(Down|Inactive)": "wait for its partition, or name another one (slurm.partition)",
}


@dataclass(frozen=True)
class JobState:
    """The state of one job, or of one element of a job array, in SLURM's words."""

    job: str
    """12 or 12_3; "" if it is still being submitted."""
    state: str
    """SLURM's state (PENDING, RUNNING, FAILED ...), or one of ours. GONE: the controller answers,
    but neither it nor accounting knows how the job ended. UNKNOWN: it may be alive, but this
    machine cannot check. SUBMITTING."""
    reason: str = ""
    """SLURM's reason; for a cancelled job "by" the user, if accounting knows; for an unknown one
    why its state is unknown, "" if SLURM does not answer."""
    node: str = ""
    live: bool = False
    """It is running or will run."""
    exit: str = ""
    """Exit code and signal from accounting, "1:0" or "0:9"; "" if not known."""
    cluster: str = ""
    """The cluster that it was submitted to; "" if not recorded."""
    on: str = ""
    """The launcher that it was submitted to; "" if not needed."""
    late: bool = False
    """From accounting alone, which lags behind: a job shown as waiting may have started."""

    @property
    def phase(self) -> Phase:
        """The phase that its state stands for."""
        return meaning(self.state, self.reason).phase

    @property
    def scheduler(self) -> str:
        """The name of its scheduler, for a person."""
        declared = launchers().get(self.on)
        return declared.title if declared is not None else "its scheduler"

    @property
    def says(self) -> str:
        """Its state in words, with what to do if a person has to act."""
        if self.state == "UNKNOWN":
            return self.reason or f"may have it, but {self.scheduler} does not answer"
        because = f" ({self.reason})" if self.reason else ""
        do = remedy(self.job, self.state, self.reason)
        return f"{meaning(self.state, self.reason).words}{because}{do and f': {do}'}"
