"""Requeue: how a job ends before its stage does, and whether it is started again.

A job is warned in one of two ways. SIGUSR2 comes before a time limit, and before preemption if the
cluster sends it (SlurmctldParameters=preempt_send_user_signal). SIGTERM alone comes before
preemption on other clusters, and whenever SLURM ends a job: cancelled, over its time, requeued by
hand. Both signals only set a flag. At the next step where the processes synchronise they agree to
stop, and the checkpoint is written. Then the first process asks SLURM for the job's state:

- still running: the job was warned and is about to be replaced. submitit requeues it from here; its
  handler counts how often the job reached its time limit.
- any other state: SLURM has decided already. A cancelled job must not be requeued, and a job that
  SLURM has requeued needs no help. The process ends with a non-zero exit code.
- no answer: after SIGUSR2 the job is requeued, as submitit would do; else SLURM is asked again,
  until it answers or ends the job.

The same is done for a job that loses a node: its first process requeues it, as otherwise the other
processes' errors would end it as failed before SLURM notices. If the first process is lost, its
node has the job's script, and SLURM requeues the job when that node fails.
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
from harness.launch.slurm.config import own_job
from harness.redact import redact
from harness.store import atomic
from harness.store.attempt import write_end
from harness.store.layout import StageFolder

STOPPED = 128 + signal.SIGTERM
"""Exit code of a process that was asked to stop and whose job is not requeued."""
STATE_WAIT_S = 600.0
"""Seconds for SLURM to answer a process that it asked to stop."""
VERDICT_S = 5.0
"""Seconds after a process's death in which SLURM ends the others, if it noticed the death."""
DECISION_S = 180.0
"""Seconds that the other processes then give the first one to requeue the job."""


def end(handler: object, heard: set[int]) -> NoReturn:
    """End this process after its checkpoint; requeue the job if SLURM does not."""
    if os.environ.get("SLURM_PROCID", "0") != "0":
        raise SystemExit(0)  # the first process decides
    warned = signal.SIGUSR2 in heard
    until = time.monotonic() + STATE_WAIT_S
    while (state := own_state()) is None and not warned and time.monotonic() < until:
        time.sleep(5)
    if not callable(handler) or not (state == "RUNNING" or (state is None and warned)):
        print(f"stopped after a checkpoint; the job is {(state or 'lost').lower()}", flush=True)
        raise SystemExit(STOPPED)
    print("requeued; it resumes from its checkpoint", flush=True)
    try:
        handler(signal.SIGUSR2, None)
    except Exception as error:
        print(
            f"error: the job could not be requeued ({error}); call run again to resume",
            file=sys.stderr,
        )
    raise SystemExit(STOPPED)


def should_requeue(requeues: int, flag: StopFlag) -> bool:
    """Whether to requeue the job after a process died because its node failed.

    If a process dies on a working node, for lack of memory for example, SLURM ends the others at
    once, and the job has failed. If a node fails, SLURM notices only after minutes; until then it
    sees only these processes' errors, and would take them for the job's failure.
    """
    job = own_job(os.environ)
    if job is None or job["restart"] >= requeues:
        return False
    first = os.environ.get("SLURM_PROCID", "0") == "0"
    until = time.monotonic() + (VERDICT_S if first else DECISION_S)
    while time.monotonic() < until and signal.SIGTERM not in flag.heard:
        time.sleep(0.1)
    return first and signal.SIGTERM not in flag.heard


def record_dead_ranks(folder: StageFolder, died: Sequence[int], message: str) -> None:
    """Record the dead ranks in this job's attempt, if it has started one: it has not failed."""
    attempts = folder.attempts()
    who = atomic.read_json(attempts[-1] / "alive.json") if attempts else None
    if isinstance(who, dict) and who.get("slurm") == own_job(os.environ):
        lost = f"{'ranks' if len(died) > 1 else 'rank'} {', '.join(map(str, died))}"
        write_end(attempts[-1], "interrupted", message, lost=lost)
    print(f"error: {redact(message)}", file=sys.stderr, flush=True)


def own_state() -> str | None:
    """SLURM's state for this job: RUNNING, COMPLETING, ...; "" if the job is over, None if SLURM
    does not answer, or knows no such job."""
    # SLURM_JOB_ID alone is ambiguous: an array's last element has the array's number.
    own = own_job(os.environ) or {"job": ""}
    words = ("squeue", "--noheader", "--format=%T", f"--jobs={own['job']}")
    said = clients.order(*words)  # the answer is important, so the long time limit
    return None if said.error else next(iter(said.lines), "")
