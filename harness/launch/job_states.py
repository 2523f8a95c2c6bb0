"""SLURM's words for the state of a job, which all launchers use, and what each of them means here:
the only list of them.

What follows from a phase, where the stage has no result:

    phase      status                          plan, run     cancel
    waits      waiting, or interrupted if it   busy          scancel
               was begun: it will go on
    held       held; a person must release it  busy, says so scancel
    starts     waiting                         busy          scancel
    runs       running; silent if its process  busy          scancel
               or its node does not answer
    paused     suspended                       busy, says so scancel
    ends       ending                          busy          scancel, as it may be requeued
    over       by what is told of its end      to do         nobody works on it
    elsewhere  unknown                         refused       refused

A word that is not in the table is a later SLURM's: it may be alive, so nothing is submitted twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from harness.spec.registry import launchers

Phase = Literal["waits", "held", "starts", "runs", "paused", "ends", "over", "elsewhere"]


@dataclass(frozen=True)
class Meaning:
    """One of SLURM's words."""

    phase: Phase
    words: str
    """What goes after "job 12": of a job that is over nothing, as reasons.py tells it."""


STATES = {
    # what a job is
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
    # what happens to it, which squeue says instead of what it is
    "COMPLETING": Meaning("ends", "is ending, or being requeued"),
    "STAGE_OUT": Meaning("ends", "is ending: its burst buffer is written back"),
    "CONFIGURING": Meaning("starts", "is starting: its nodes are made ready"),
    "POWER_UP_NODE": Meaning("starts", "is starting: its nodes are powered up"),
    "RESIZING": Meaning("runs", "is running, and changes its size"),
    "SIGNALING": Meaning("runs", "is running, and being signalled"),
    "UPDATE_DB": Meaning("runs", "is running"),
    "STOPPED": Meaning("paused", "is stopped (SIGSTOP), and keeps its nodes"),
    "REQUEUED": Meaning("waits", "is requeued"),
    "REQUEUE_FED": Meaning("waits", "is requeued in its federation"),
    "EXPEDITING": Meaning("waits", "is requeued, and will be first"),
    "REQUEUE_HOLD": Meaning("held", "is requeued and held"),
    "SPECIAL_EXIT": Meaning("held", "is requeued and held after a special exit"),
    "RESV_DEL_HOLD": Meaning("held", "is held, as its reservation was deleted"),
    # flags of a job that SLURM takes back into the queue for its node's sake
    "LAUNCH_FAILED": Meaning("waits", "could not be launched on its node, and is requeued"),
    "RECONFIG_FAIL": Meaning("waits", "had its node fail to be made ready, and is requeued"),
    "REVOKED": Meaning(
        "elsewhere", "was revoked, as another cluster of its federation has it: ask there"
    ),
    # ours, for what SLURM does not say (JobState)
    "SUBMITTING": Meaning("waits", "is being submitted"),
    "UNKNOWN": Meaning("elsewhere", ""),
    "GONE": Meaning("over", ""),
}


def meaning(state: str, reason: str = "") -> Meaning:
    """What SLURM's word means, with its reason: a job that is held may be called pending."""
    found = STATES.get(state)
    if found is None:
        return Meaning("runs", f"is {state.lower().replace('_', ' ')}")
    if state == "PENDING" and "held" in reason.lower():  # JobHeldUser, launch failed requeued held
        return Meaning("held", "is held")
    return found


def is_live(state: str) -> bool:
    """Whether a job in this state is or will be running on the cluster that says so."""
    return meaning(state).phase not in ("over", "elsewhere")


def remedy(job: str, state: str, reason: str) -> str:
    """What to do that a job that waits goes on; "" if nothing but wait."""
    phase = meaning(state, reason).phase
    if phase == "held" and "admin" in reason.lower():
        return f"an administrator holds job {job}: ask them"
    if phase == "held":
        return f"scontrol release {job}"
    if state == "STOPPED":
        return f"scancel --signal=CONT {job}"
    blocked = (what for pattern, what in _BLOCKED.items() if re.match(pattern, reason))
    return next(blocked, "") if phase == "waits" else ""


def never_starts(reason: str) -> bool:
    """Whether a job that waits for this reason will do so until it is asked for in another way."""
    return any(re.match(pattern, reason) for pattern in _NEVER)


_NEVER = {
    r"PartitionTimeLimit": "lower slurm.hours in the site file, cancel it, and run again",
    r"PartitionNodeLimit": "lower slurm.nodes in the site file, cancel it, and run again",
    r"(BadConstraints|PartitionConfig)": "no node has what it asks for: change the site file, "
    "cancel it, and run again",
    r"(AccountNotAllowed|InvalidAccount)": "name another slurm.account, cancel it, and run again",
    r"(QOSNotAllowed|InvalidQOS)": "name another slurm.qos, cancel it, and run again",
    r"(Assoc|QOS)(Max|Min)\w+Per(Job|Node)": "your account or qos does not allow a job of this "
    "size: ask for less in the site file, cancel it, and run again; doctor names the limits",
}
"""What to do of a job that would wait for ever, by how SLURM's reason begins."""
_BLOCKED = {
    **_NEVER,
    r"Partition(Down|Inactive)": "wait for its partition, or name another one (slurm.partition)",
}


@dataclass(frozen=True)
class JobState:
    """One job, or one element of a job array, as its scheduler has it, in SLURM's words."""

    job: str
    """12 or 12_3; "" of one that is still being submitted."""
    state: str
    """SLURM's word (PENDING, RUNNING, FAILED ...). GONE: the controller answers and neither it nor
    accounting knows how the job ended. UNKNOWN: it may be alive, and nobody here can tell.
    SUBMITTING."""
    reason: str = ""
    """SLURM's reason; of a cancelled job "by" whom, where accounting tells; of an unknown one why
    it cannot be told, "" if SLURM does not answer."""
    node: str = ""
    live: bool = False
    """It is or will be running."""
    exit: str = ""
    """Exit code and signal as accounting has them, "1:0" or "0:9"; "" if not known."""
    cluster: str = ""
    """The cluster that it was submitted to; "" if nobody wrote that down."""
    on: str = ""
    """The launcher that it was handed to; "" if that does not matter."""
    late: bool = False
    """Accounting's word alone: of a job that has begun since, it may still say that it waits."""

    @property
    def phase(self) -> Phase:
        """What its state means here."""
        return meaning(self.state, self.reason).phase

    @property
    def scheduler(self) -> str:
        """Who knows about it, for a person."""
        declared = launchers().get(self.on)
        return declared.title if declared is not None else "its scheduler"

    @property
    def says(self) -> str:
        """Its state in words, with what to do if it waits for a person."""
        if self.state == "UNKNOWN":
            return self.reason or f"may have it, but {self.scheduler} does not answer"
        because = f" ({self.reason})" if self.reason else ""
        do = remedy(self.job, self.state, self.reason)
        return f"{meaning(self.state, self.reason).words}{because}{do and f': {do}'}"
