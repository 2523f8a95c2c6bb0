"""Stop what works on stages: jobs of SLURM, background jobs, and runs of this machine."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import signal
import socket
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError
from harness.launch import clients
from harness.launch.truth import Look, Row
from harness.store.life import holder, lives
from harness.store.submission import Submission

AT_ONCE = 500
"""Jobs that one call of scancel is given."""


@dataclass
class Targets:
    """What is to be stopped, and what cannot be."""

    stages: list[str] = field(default_factory=list)
    """Those that something will be done about."""
    jobs: list[str] = field(default_factory=list)
    """Jobs and array elements of SLURM, reports' included."""
    processes: dict[int, str] = field(default_factory=dict)
    """Process of this machine to what it is."""
    refused: list[str] = field(default_factory=list)
    """Sentences: what is not ours to stop."""
    idle: list[str] = field(default_factory=list)
    """Sentences: what nobody works on."""
    behind: list[str] = field(default_factory=list)
    """Stages that wait for these, and that SLURM will cancel with them."""


def aim(seen: Look, wanted: Collection[str]) -> Targets:
    """What stops the stages in `wanted`."""
    found = Targets()
    gone: dict[str, Submission] = {}
    for row in seen.rows:
        if row.id in wanted:
            may_be = row.job is not None and (row.job.live or row.job.state == "UNKNOWN")
            if row.submission is not None and row.job is not None and may_be:
                gone |= _job(row, row.submission, row.job.job, found)
            else:
                _process(row, found)
        elif row.parent in wanted and row.job is not None and row.job.live:
            found.behind.append(row.id)
    stopped = {*found.stages, *found.behind}
    for made in gone.values():
        left = [r for r in seen.rows if r.submission == made and r.job is not None and r.job.live]
        if all(row.id in stopped for row in left):
            found.jobs += [a.job for a in made.arrays if a.kind == "report" and a.job]
    return found


def _job(row: Row, made: Submission, job: str, found: Targets) -> dict[str, Submission]:
    if not job:
        found.refused.append(f"{row.id}: {made.user} on {made.host} is submitting it; try again")
    elif made.user not in _us():
        found.refused.append(f"{row.id}: job {job} is {made.user}'s; only they can cancel it")
    elif made.on == "slurm" and row.job is not None and not row.job.live and row.job.reason:
        found.refused.append(f"{row.id}: job {job} {row.job.reason}")
    elif made.on == "slurm":
        found.stages.append(row.id)
        found.jobs.append(job)
        return {made.id: made}
    elif made.host != socket.gethostname():
        found.refused.append(f"{row.id}: its background job {job} is on {made.host}: cancel there")
    else:
        found.stages.append(row.id)
        found.processes[int(job)] = f"the background job {job}, with all stages of its plan,"
    return {}


def _process(row: Row, found: Targets) -> None:
    """The process that lives the stage without a job that we know of."""
    if row.entry.state == "unreadable":
        found.refused.append(f"{row.id}: {row.why}")
        return
    attempts = row.entry.folder.attempts() if row.entry.state == "running" else []
    who = holder(attempts[-1]) if attempts else None
    if who is None:
        found.idle.append(f"{row.id}: {row.state}, nobody works on it")
        return
    slurm = who.get("slurm")
    if isinstance(slurm, dict):
        found.refused.append(
            f"{row.id}: runs inside job {slurm.get('job')}, which was not submitted from this run "
            f"root; scancel {slurm.get('job')} ends it, with all else in it"
        )
    elif not lives(who):
        found.refused.append(
            f"{row.id}: process {who['pid']} on {who['host']} runs it; stop it there"
        )
    elif (owner := _owner(who["pid"])) != os.getuid():
        found.refused.append(f"{row.id}: process {who['pid']} is {_name(owner)}'s")
    else:
        found.stages.append(row.id)
        found.processes[who["pid"]] = f"process {who['pid']} of this machine, with all its stages,"


def stop(targets: Targets) -> None:
    """Ask SLURM and the processes to stop; stages write a checkpoint and end within seconds.

    Raises:
        HarnessError: SLURM refused some, or does not answer; all others were asked.
    """
    wrong: list[str] = []
    for pid in targets.processes:
        try:
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGCONT)  # one that is stopped would not hear it
        except ProcessLookupError:
            continue  # it has just ended
        except PermissionError:
            wrong.append(f"process {pid} is another user's")
    for jobs in _chunks(targets.jobs):
        # by user too: SLURM obeys root, whoever's the job is
        said = clients.order("scancel", f"--user={_name(os.getuid())}", *jobs)
        if said.silent:
            wrong.append(f"SLURM does not answer: {said.error}. Run cancel again later")
            break
        if said.error:
            wrong.append(f"SLURM did not cancel all: {said.error}")
    if wrong:
        raise HarnessError("\n".join(wrong))


def _chunks(jobs: Iterable[str]) -> Iterator[list[str]]:
    distinct = list(dict.fromkeys(jobs))
    for start in range(0, len(distinct), AT_ONCE):
        yield distinct[start : start + AT_ONCE]


def _us() -> set[str]:
    names = {_name(os.getuid())}
    with contextlib.suppress(KeyError, OSError):
        names.add(getpass.getuser())
    return names


def _owner(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return os.getuid()


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
