"""How a job of a cluster ends before its stage does, and whether it comes back.

A job is warned in one of two ways. SIGUSR2 comes before a time limit, and before preemption where
the cluster sends it (SlurmctldParameters=preempt_send_user_signal). SIGTERM alone comes before
preemption elsewhere, and whenever SLURM ends a job: cancelled, over its time, requeued by hand.
Both only set a flag. At the next step where the processes meet they agree to stop, and the
checkpoint is written. Then the first process asks SLURM what state the job is in:

- still running: it was warned, and something will take its place. It is requeued here, by submitit,
  whose handler counts the time limits that it outlived.
- anything else: SLURM has decided already. A cancelled job must not come back, and one that SLURM
  has requeued itself comes back without help. The process ends, with a code that is no success.
- no answer: after SIGUSR2 it is requeued, as submitit would; else SLURM is asked again, until it
  answers or ends the job.

A job that loses a node goes the same way: its first process has it requeued, as the others' errors
would end it as failed before SLURM notices. Where the first process is lost, its node has the job's
script, and SLURM requeues the job as that node fails.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from harness.launch.signals import StopFlag
from harness.launch.slurm import clients
from harness.launch.slurm.own import own_job
from harness.redact import redact
from harness.store import atomic
from harness.store.attempt import write_end
from harness.store.layout import StageFolder

STOPPED = 128 + signal.SIGTERM
"""Exit code of a process that was asked to stop, and whose job is not requeued."""
PATIENCE_S = 600.0
"""Seconds for SLURM to answer a process that it asked to stop."""
VERDICT_S = 5.0
"""Seconds after a process's death in which SLURM ends the others, if it knows of it."""
DECISION_S = 180.0
"""Seconds that the others then leave to the first one, to have the job requeued."""


def end(handler: object, heard: set[int]) -> NoReturn:
    """End this process after its checkpoint, requeued if that is for us to do."""
    if os.environ.get("SLURM_PROCID", "0") != "0":
        raise SystemExit(0)  # the first process decides
    warned = signal.SIGUSR2 in heard
    until = time.monotonic() + PATIENCE_S
    while (state := own_state()) is None and not warned and time.monotonic() < until:
        time.sleep(5)
    if not callable(handler) or not (state == "RUNNING" or (state is None and warned)):
        print(f"stopped after a checkpoint; the job is {(state or 'lost').lower()}", flush=True)
        raise SystemExit(STOPPED)
    print("requeued; it goes on from its checkpoint", flush=True)
    try:
        handler(signal.SIGUSR2, None)
    except Exception as error:
        print(f"error: the job could not be requeued ({error}); run again goes on", file=sys.stderr)
    raise SystemExit(STOPPED)


def goes_on(requeues: int, flag: StopFlag) -> bool:
    """Whether the job is to be requeued after a process died: its node did.

    SLURM ends the other processes at once if one of them died on a node that lives, for want of
    memory say, and the job has failed. A node's silence it notices after minutes, in which nothing
    but these processes' errors would tell; it would take those for the job's failure.
    """
    job = own_job(os.environ)
    if job is None or job["restart"] >= requeues:
        return False
    first = os.environ.get("SLURM_PROCID", "0") == "0"
    until = time.monotonic() + (VERDICT_S if first else DECISION_S)
    while time.monotonic() < until and signal.SIGTERM not in flag.heard:
        time.sleep(0.1)
    return first and signal.SIGTERM not in flag.heard


def say_who_died(folder: StageFolder, died: Sequence[int], message: str) -> None:
    """In the attempt of this life of the job, if it came so far: it has not failed."""
    attempts = folder.attempts()
    who = atomic.read_json(attempts[-1] / "alive.json") if attempts else None
    if isinstance(who, dict) and who.get("slurm") == own_job(os.environ):
        lost = f"{'ranks' if len(died) > 1 else 'rank'} {', '.join(map(str, died))}"
        write_end(attempts[-1], "interrupted", message, lost=lost)
    print(f"error: {redact(message)}", file=sys.stderr, flush=True)


def own_state() -> str | None:
    """SLURM's word for this job: RUNNING, COMPLETING, ...; "" if it knows it no more, None if it
    does not answer."""
    # SLURM_JOB_ID alone may be the whole array's: its last element has the array's number.
    own = own_job(os.environ) or {"job": ""}
    words = ("squeue", "--noheader", "--format=%T", f"--jobs={own['job']}")
    said = clients.order(*words)  # there is time, and much hangs on the answer
    return None if said.error else next(iter(said.lines), "")
