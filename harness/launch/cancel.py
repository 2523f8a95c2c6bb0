"""Cancel stages: stop jobs of any launcher, and processes of this machine."""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import Collection
from dataclasses import dataclass, field

from harness.errors import HarnessError
from harness.launch.job_states import JobState
from harness.launch.newest_jobs import Schedulers
from harness.launch.signals import terminate
from harness.launch.status import Row, Statuses
from harness.store import operating_system
from harness.store.liveness import holder, is_alive, job_of
from harness.store.submission import Submission


@dataclass
class Targets:
    """What will be stopped, and what cannot be stopped."""

    stages: list[str] = field(default_factory=list)
    """Stages for which something will be stopped."""
    jobs: dict[str, list[str]] = field(default_factory=dict)
    """Jobs and array elements by launcher, including reports."""
    processes: dict[int, str] = field(default_factory=dict)
    """PID on this machine -> description of the process."""
    refused: list[str] = field(default_factory=list)
    """Sentences: what this user may not stop."""
    idle: list[str] = field(default_factory=list)
    """Sentences: stages with no job or process to stop."""
    behind: list[str] = field(default_factory=list)
    """Stages that wait for these and will be cancelled with them."""


def aim(seen: Statuses, wanted: Collection[str]) -> Targets:
    """Find what has to be stopped to cancel the stages in `wanted`."""
    found, schedulers = Targets(), Schedulers()
    gone: dict[str, Submission] = {}
    for row in seen.rows:
        if row.id in wanted:
            may_be = row.job is not None and (row.job.live or row.job.state == "UNKNOWN")
            if row.submission is not None and row.job is not None and may_be:
                gone |= _job(row, row.submission, row.job, schedulers, found)
            else:
                _process(row, schedulers, found)
        elif row.parent in wanted and row.job is not None and row.job.live:
            found.behind.append(row.id)
    stopped = {*found.stages, *found.behind}
    for made in gone.values():
        left = [r for r in seen.rows if r.submission == made and r.job is not None and r.job.live]
        if all(row.id in stopped for row in left):
            reports = [a.job for a in made.arrays if a.kind == "report" and a.job]
            found.jobs.setdefault(made.on, []).extend(reports)
    return found


def _job(
    row: Row, made: Submission, job: JobState, schedulers: Schedulers, found: Targets
) -> dict[str, Submission]:
    if not job.job:
        found.refused.append(f"{row.id}: {made.user} on {made.host} is submitting it; try again")
    elif made.user not in _us():
        found.refused.append(
            f"{row.id}: job {job.job} belongs to {made.user}; only they can cancel it"
        )
    elif why := schedulers.of(made.on).cannot_stop(made, job):
        found.refused.append(f"{row.id}: {why}")
    else:
        found.stages.append(row.id)
        found.jobs.setdefault(made.on, []).append(job.job)
        return {made.id: made}
    return {}


def _process(row: Row, schedulers: Schedulers, found: Targets) -> None:
    """The process that runs the stage without a known job."""
    if row.entry.state == "unreadable":
        found.refused.append(f"{row.id}: {row.why}")
        return
    attempts = row.entry.folder.attempts() if row.entry.state == "running" else []
    who = holder(attempts[-1]) if attempts else None
    if who is None:
        found.idle.append(f"{row.id}: {row.state}, no process runs it")
        return
    if (inside := job_of(who)) is not None:
        on, job = inside[0], str(inside[1]["job"])
        jobs = schedulers.of(on)
        at = f" on {who['host']}" if jobs.on_one_machine else ""
        found.refused.append(
            f"{row.id}: runs inside job {job}, which was not submitted from this run root; "
            f"{jobs.stop_command(job)}{at} ends the whole job"
        )
    elif not is_alive(who):
        found.refused.append(
            f"{row.id}: process {who['pid']} on {who['host']} runs it; stop it there"
        )
    elif (owner := operating_system.owner(who["pid"])) is not None and owner != os.getuid():
        name = operating_system.login_name(owner)
        found.refused.append(f"{row.id}: process {who['pid']} belongs to {name}")
    else:
        found.stages.append(row.id)
        found.processes[who["pid"]] = f"process {who['pid']} of this machine, with all its stages,"


def stop(targets: Targets) -> None:
    """Ask the jobs and processes to stop; stages then write a checkpoint and end within seconds.

    Raises:
        HarnessError: some could not be stopped; all others were asked.
    """
    schedulers = Schedulers()
    wrong = [said for pid in targets.processes if (said := terminate(pid))]
    for on, jobs in targets.jobs.items():
        wrong += schedulers.of(on).stop(jobs)
    if wrong:
        raise HarnessError("\n".join(wrong))


def consequences(targets: Targets) -> list[str]:
    """Further effects of `stop`, in sentences for a person."""
    schedulers = Schedulers()
    asked = ((schedulers.of(on), jobs) for on, jobs in targets.jobs.items() if jobs)
    said = [text for own, jobs in asked for text in own.stop_effects(jobs)]
    return said + [f"{what} will be stopped" for what in targets.processes.values()]


def _us() -> set[str]:
    names = {operating_system.login_name(os.getuid())}
    with contextlib.suppress(KeyError, OSError):
        names.add(getpass.getuser())
    return names
