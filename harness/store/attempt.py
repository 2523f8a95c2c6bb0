"""One life of a stage's processes, fenced against a second one.

`begin` makes attempts/NNNN by mkdir, which one of any number of contenders wins on every file
system. While it lives, an attempt touches alive.json; before it writes anything that lasts it looks
whether a newer attempt exists and, if so, stops: a life that was thought dead cannot do harm.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from harness.errors import AlreadyDone, Busy, StoreError, Superseded
from harness.store import atomic, journal
from harness.store.layout import StageFolder

BEAT_S = 10.0
"""Seconds between two touches of alive.json."""
SILENCE_S = 120.0
"""A holder on another machine is taken for dead after so long without a touch."""


def _identity() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": os.getpid(),
        "born": _born(os.getpid()),
    }


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


def _answers(pid: int) -> bool:
    """Whether there is a process of this number, ours or not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def holder(attempt: Path) -> dict[str, Any] | None:
    """Who lives this attempt now: {"host", "pid", ...}; None if it has ended or its holder died.

    On this machine the process itself is looked for; elsewhere, or where processes are hidden, a
    holder that is silent for SILENCE_S is taken for dead.
    """
    if (attempt / "ended.json").exists():
        return None
    try:
        who = atomic.read_json(attempt / "alive.json")
        age = time.time() - (attempt / "alive.json" if who else attempt).stat().st_mtime
    except (StoreError, OSError):
        return None
    if who is None:  # between mkdir and the first words
        return {"host": "?", "pid": 0} if age < BEAT_S else None
    if not (isinstance(who, dict) and isinstance(who.get("pid"), int) and who["pid"] > 0):
        return None  # not this program's words
    who = {"host": "?", **who}
    if who.get("boot") == _boot() and who["host"] == socket.gethostname():
        born = _born(who["pid"])
        if born == "dead":
            return None
        if born and who.get("born"):
            return who if born == who["born"] else None
    return who if age < SILENCE_S else None


class Attempt:
    """A running attempt; call `end`, whatever happens."""

    def __init__(self, folder: StageFolder, path: Path) -> None:
        self.folder = folder
        self.path = path
        self.number = int(path.name)
        self.journal = journal.Writer(path / "metrics.jsonl")
        self._ended = threading.Event()
        try:
            atomic.write_json(path / "alive.json", _identity())
        except StoreError:
            self.journal.close()
            raise
        self._beat = threading.Thread(target=self._touch, daemon=True, name="heartbeat")
        self._beat.start()

    def _touch(self) -> None:
        while not self._ended.wait(BEAT_S):
            with contextlib.suppress(OSError):
                os.utime(self.path / "alive.json")

    def check_fence(self) -> None:
        """Raise Superseded if a newer attempt of this stage exists."""
        if (self.path.parent / f"{self.number + 1:04d}").exists():
            raise Superseded(
                f"{self.folder.path}: attempt {self.number + 1} has taken over from this one; "
                "this process stops without writing"
            )

    def record(self, records: list[journal.Record]) -> None:
        """Append to the journal, unless superseded."""
        self.check_fence()
        self.journal.append(records)

    def describe(self, provenance: dict[str, Any]) -> None:
        """Write attempt.json: where and with what this attempt runs."""
        atomic.write_json(self.path / "attempt.json", provenance)

    def finish(self, result: dict[str, Any]) -> None:
        """Write the stage's outcome; the stage is done with it."""
        self.check_fence()
        self.journal.sync()
        atomic.write_json(self.folder.path / "result.json", result)

    def end(self, how: str, message: str = "") -> None:
        """Say how this attempt ended: finished, diverged, interrupted, failed or superseded."""
        if self._ended.is_set():
            return
        self._ended.set()
        self.journal.close()
        with contextlib.suppress(StoreError):  # a full disk must not hide the reason of the end
            atomic.write_json(
                self.path / "ended.json", {"how": how, "message": message, "t": round(time.time())}
            )


def begin(folder: StageFolder) -> Attempt:
    """Begin the stage's next attempt.

    Raises:
        AlreadyDone: the stage has a result, perhaps by another process since it was planned.
        Busy: another process lives the newest attempt, or has begun this one first.
        StoreError: the folder cannot be written.
    """
    attempts = folder.attempts()
    if attempts and (who := holder(attempts[-1])) is not None:
        raise Busy(
            f"{folder.path}: being run by process {who['pid']} on {who['host']} "
            f"(attempt {attempts[-1].name}); wait for it, or stop it and run again"
        )
    if folder.result is not None:  # looked for last: a holder writes it before it ends
        raise AlreadyDone(f"{folder.path}: finished already")
    number = int(attempts[-1].name) + 1 if attempts else 1
    path = folder.path / "attempts" / f"{number:04d}"
    try:
        path.mkdir()
    except FileExistsError:
        raise Busy(f"{folder.path}: another process has just begun attempt {number}") from None
    except OSError as error:
        raise atomic.explain(error, path) from error
    try:
        return Attempt(folder, path)
    except StoreError:  # nothing was begun: leave no trace of a holder
        with contextlib.suppress(OSError):
            (path / "metrics.jsonl").unlink(missing_ok=True)
            path.rmdir()
        raise
