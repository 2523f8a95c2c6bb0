"""Close the attempts whose jobs have ended, so that new attempts need not wait until they count as
silent.

A node that its scheduler has given up may still run without a connection to the controller, and its
processes may still write. So an attempt whose heartbeat continues is never closed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.errors import HarnessError
from harness.launch.job_states import JobState
from harness.plan import ended
from harness.store import clock
from harness.store.attempt import write_end
from harness.store.layout import stage_folder
from harness.store.liveness import HEARTBEAT_S, holder, is_of

QUIET_S = 2 * HEARTBEAT_S
"""Seconds without a heartbeat after which the scheduler's report of a job's end is accepted."""


def close_dead_attempts(
    runs: Path, jobs: Mapping[str, JobState], note: Callable[[str], object]
) -> None:
    """Write ended.json for attempts that ended with their jobs; waits until heartbeats have
    stopped.

    Args:
        jobs: by stage id, the states of jobs of earlier submissions.
        note: called with a message if it has to wait.

    Raises:
        HarnessError: the scheduler reports a job as ended, but its process still runs.
        StoreError: the folder cannot be written.
    """
    dead: list[tuple[Path, JobState]] = []
    for stage, job in jobs.items():
        attempts = stage_folder(runs, stage).attempts() if ended(job) else []
        who = holder(attempts[-1]) if attempts else None
        if who is not None and is_of(who, job.on, job.job, job.cluster):
            dead.append((attempts[-1], job))
    before = {attempt: _beat(attempt) for attempt, _ in dead}
    left = QUIET_S - (clock.now(runs) - max(before.values())) if before else 0.0
    if left > 0:
        wait = min(left, QUIET_S)
        note(f"jobs that have ended sent a heartbeat just before; waiting {wait:.0f} s to be sure")
        time.sleep(wait)
    for attempt, job in dead:
        if (who := holder(attempt)) is not None and _beat(attempt) > before[attempt]:
            raise HarnessError(
                f"{attempt}: {job.scheduler} says that job {job.job} has ended ({job.state}), but "
                f"process {who['pid']} on {who['host']} is still running; end it there, and run "
                "again"
            )
        message = f"{job.scheduler} ended its job {job.job} ({job.state})"
        write_end(attempt, "interrupted", message)


def _beat(attempt: Path) -> float:
    """Time of the last touch of alive.json, in seconds since 1970; 0 if the file is gone."""
    try:
        return (attempt / "alive.json").stat().st_mtime
    except OSError:
        return 0.0
