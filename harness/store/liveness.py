"""Who lives a folder: a process that says so in alive.json, and touches it while it lives."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from harness.errors import StoreError, Unreadable
from harness.spec.declarations import load
from harness.spec.registry import launchers
from harness.store import atomic, clock

BEAT_S = 10.0
"""Seconds between two touches of alive.json."""
STILL_S = 3 * BEAT_S
"""Seconds without a touch after which a holder is said to be silent."""
SILENCE_S = 120.0
"""A holder on another machine is taken for dead after so long without a touch."""

Still = Literal["", "stopped", "silent"]
"""What is wrong with a holder that has not ended: SIGSTOP, or no touch for STILL_S."""


def identity() -> dict[str, Any]:
    """This process as alive.json names it; inside of a launcher's job also {launcher: job}, as
    `inside` has it."""
    who: dict[str, Any] = {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": os.getpid(),
        "born": _born(os.getpid()),
    }
    return who | inside(os.environ)


def inside(env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """By launcher, its job that `env` is of: {"job": its number, "restart": how often it was begun
    again, "cluster": which of several schedulers has it, if it tells}."""
    asked = {kind: each.inside for kind, each in launchers().items() if each.inside}
    found = {kind: load(dotted)(env) for kind, dotted in asked.items()}
    return {kind: job for kind, job in found.items() if job is not None}


def job_of(who: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """(launcher, job) that the process which `identity` named so is inside of; None if of none."""
    jobs = ((on, job) for on, job in who.items() if isinstance(job, dict) and "job" in job)
    return next(jobs, None)


def is_of(who: Mapping[str, Any], on: str, job: str, cluster: str) -> bool:
    """Whether `who`, as `identity` names a process, is of the launcher's job.

    Two clusters may share a file system and give the same numbers. A cluster that was not written
    down ("") may be any.
    """
    theirs = who.get(on)
    if not isinstance(theirs, dict) or not job or theirs.get("job") != job:
        return False
    return not cluster or theirs.get("cluster", cluster) == cluster


def _boot() -> str:
    """This boot of this machine, and the space (a container's, perhaps) its process numbers are of;
    "" if this system does not tell."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _born(pid: int) -> str:
    """The process's start time in ticks, so that a reused number is not taken for the process;
    "dead" if it has ended, "" if this system does not tell (no /proc, or another user's is hidden).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "" if _answers(pid) else "dead"
    return "dead" if stat[0] in "ZX" else stat[19]


def stillness(folder: Path, who: Mapping[str, Any]) -> tuple[Still, str]:
    """Whether the folder's holder works, and in words what keeps it from that, "" if nothing."""
    pid = who["pid"]
    if not pid:  # it is just beginning
        return "", ""
    if is_alive(who):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt":
                return "stopped", f"is stopped (SIGSTOP); kill -CONT {pid} lets it go on"
    try:
        quiet = _silent_for(folder, (folder / "alive.json").stat().st_mtime)
    except OSError:
        return "", ""
    return ("silent", f"has been silent for {quiet:.0f} s") if quiet > STILL_S else ("", "")


def _answers(pid: int) -> bool:
    """Whether there is a process of this number, ours or not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def holder(folder: Path) -> dict[str, Any] | None:
    """Who lives this folder now: {"host", "pid", ...}; None if it has ended or its holder died.

    On this machine the process itself is looked for; elsewhere, or where processes are hidden, a
    holder that is silent for SILENCE_S, by the file server's clock, is taken for dead.

    Raises:
        Unreadable: the folder is closed to this user.
    """
    try:
        if (folder / "ended.json").exists():
            return None
        who = atomic.read_json(folder / "alive.json")
        touched = (folder / "alive.json" if who else folder).stat().st_mtime
    except PermissionError as error:
        raise atomic.unread(error, folder) from error
    except Unreadable:  # nor may we say then that nobody does
        raise
    except (StoreError, OSError):
        return None
    if who is None:  # between mkdir and the first words
        return {"host": "?", "pid": 0} if _silent_for(folder, touched) < BEAT_S else None
    if not (isinstance(who, dict) and isinstance(who.get("pid"), int) and who["pid"] > 0):
        return None  # not this program's words
    who = {"host": "?", **who}
    found = is_alive(who)
    if found is None:
        found = _silent_for(folder, touched) < SILENCE_S
    return who if found else None


def _silent_for(folder: Path, touched: float) -> float:
    """Seconds since its last touch. (The question to the server would touch the folder itself.)"""
    return clock.now(folder.parent) - touched


def is_alive(who: Mapping[str, Any]) -> bool | None:
    """Whether the process that `identity` named so lives; None if that cannot be seen from here."""
    if who.get("boot") != _boot() or who.get("host") != socket.gethostname():
        return None
    pid = who.get("pid")
    born = _born(pid) if isinstance(pid, int) and pid > 0 else "dead"
    if born == "dead":
        return False
    return born == who["born"] if born and who.get("born") else None


def survived(who: Mapping[str, Any]) -> bool:
    """Whether this process is a later life of the holder's own job: a job is ended before it is
    begun again, so that holder is dead, however fresh its last touch."""
    for on, ours in inside(os.environ).items():
        if is_of(who, on, ours["job"], ours.get("cluster", "")):
            restart = who[on].get("restart")
            return isinstance(restart, int) and restart < ours["restart"]
    return False


class Heartbeat(threading.Thread):
    """Writes alive.json into `folder` and touches it until `stop`.

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
        while not self._stopped.wait(BEAT_S):
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def stop(self) -> None:
        """Touch it no more."""
        self._stopped.set()
