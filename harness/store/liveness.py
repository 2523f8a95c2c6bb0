"""Liveness: which process owns a run folder, and its heartbeat, the file alive.json."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from harness.errors import StoreError, Unreadable
from harness.spec.named_code import call
from harness.spec.registry import launchers
from harness.store import atomic, clock, operating_system
from harness.store.operating_system import DEAD

HEARTBEAT_S = 10.0
"""Seconds between two touches of alive.json."""
UNRESPONSIVE_S = 3 * HEARTBEAT_S
"""Seconds without a touch after which a holder counts as silent."""
SILENCE_S = 120.0
"""Seconds without a touch after which a holder on another machine is taken for dead."""

Unresponsive = Literal["", "stopped", "silent"]
"""What is wrong with a holder that has not ended: stopped (SIGSTOP), or silent (no touch for
UNRESPONSIVE_S)."""


def identity() -> dict[str, Any]:
    """This process as alive.json names it; in a launcher's job also {launcher: job}, as `inside`
    returns it."""
    who: dict[str, Any] = {
        "host": socket.gethostname(),
        "boot": operating_system.boot(),
        "pid": os.getpid(),
        "born": operating_system.start_time(os.getpid()),
    }
    return who | inside(os.environ)


def inside(env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """By launcher, the job that `env` belongs to: {"job": its number, "restart": how often it was
    restarted, "cluster": its scheduler's cluster, if known}."""
    asked = {kind: each.inside for kind, each in launchers().items() if each.inside}
    found = {kind: call(dotted, env) for kind, dotted in asked.items()}
    return {kind: job for kind, job in found.items() if job is not None}


def job_of(who: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """(launcher, job) of a process that `identity` described; None if it is in no job."""
    jobs = ((on, job) for on, job in who.items() if isinstance(job, dict) and "job" in job)
    return next(jobs, None)


def is_of(who: Mapping[str, Any], on: str, job: str, cluster: str) -> bool:
    """Whether the process `who`, as `identity` describes it, belongs to the launcher's job.

    Two clusters may share a file system and use the same job numbers. A cluster that was not
    recorded ("") may be any.
    """
    theirs = who.get(on)
    if not isinstance(theirs, dict) or not job or theirs.get("job") != job:
        return False
    return not cluster or theirs.get("cluster", cluster) == cluster


def unresponsive(folder: Path, who: Mapping[str, Any]) -> tuple[Unresponsive, str]:
    """Whether the folder's holder is stopped or silent, and the reason in words; "" if neither."""
    pid = who["pid"]
    if not pid:  # it is just starting
        return "", ""
    if is_alive(who) and operating_system.is_stopped(pid):
        return "stopped", f"is stopped (SIGSTOP); to continue: kill -CONT {pid}"
    try:
        quiet = _silent_for(folder, (folder / "alive.json").stat().st_mtime)
    except OSError:
        return "", ""
    if quiet <= UNRESPONSIVE_S:
        return "", ""
    return "silent", f"has sent no heartbeat for {quiet:.0f} s"


def holder(folder: Path) -> dict[str, Any] | None:
    """The process that owns this folder now: {"host", "pid", ...}; None if it has ended or died.

    On this machine the process itself is checked. On other machines, or where processes are hidden,
    a holder without a touch for SILENCE_S, by the file server's clock, is taken for dead.

    Raises:
        Unreadable: it is not known: this user has no access to the folder, or the disk or its
            server fails.
    """
    try:
        return _holder(folder)
    except (FileNotFoundError, NotADirectoryError):  # perhaps it was moved away meanwhile
        return None
    except OSError as error:
        raise atomic.unread(error, folder) from error
    except Unreadable:
        raise
    except StoreError:  # alive.json was not written by this program
        return None


def _holder(folder: Path) -> dict[str, Any] | None:
    if (folder / "ended.json").exists():
        return None
    who = atomic.read_json(folder / "alive.json")
    touched = (folder / "alive.json" if who else folder).stat().st_mtime
    if who is None:  # between mkdir and the first write of alive.json
        return {"host": "?", "pid": 0} if _silent_for(folder, touched) < HEARTBEAT_S else None
    if not (isinstance(who, dict) and isinstance(who.get("pid"), int) and who["pid"] > 0):
        return None  # not written by this program
    who = {"host": "?", **who}
    found = is_alive(who)
    if found is None:
        found = _silent_for(folder, touched) < SILENCE_S
    return who if found else None


def _silent_for(folder: Path, touched: float) -> float:
    """Seconds since its last touch. (Asking the server's clock would touch the folder itself.)"""
    return clock.now(folder.parent) - touched


def is_alive(who: Mapping[str, Any]) -> bool | None:
    """Whether the process that `identity` described runs; None if this machine cannot check it."""
    if who.get("boot") != operating_system.boot() or who.get("host") != socket.gethostname():
        return None
    pid = who.get("pid")
    born = operating_system.start_time(pid) if isinstance(pid, int) and pid > 0 else DEAD
    if born == DEAD:
        return False
    return born == who["born"] if born and who.get("born") else None


def is_earlier_start(who: Mapping[str, Any]) -> bool:
    """Whether this process is a later start of the holder's own job. A job ends before it is
    started again, so the holder is dead, however recent its last touch."""
    for on, ours in inside(os.environ).items():
        if is_of(who, on, ours["job"], ours.get("cluster", "")):
            restart = who[on].get("restart")
            return isinstance(restart, int) and restart < ours["restart"]
    return False


class Heartbeat(threading.Thread):
    """Thread that writes alive.json into `folder` and touches it until `stop`.

    Raises:
        StoreError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True, name="heartbeat")
        self._path = folder / "alive.json"
        self._stopped = threading.Event()
        atomic.write_json(self._path, identity())
        self.start()

    def run(self) -> None:
        while not self._stopped.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def stop(self) -> None:
        """Stop touching it."""
        self._stopped.set()
