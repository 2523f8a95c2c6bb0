"""One attempt of a stage, protected against a second attempt at the same time.

`begin` makes attempts/NNNN with mkdir, which succeeds for only one of several processes on every
file system. A running attempt touches alive.json. Before each lasting write it checks whether a
newer attempt exists and, if so, stops: an attempt that was wrongly taken for dead does no harm.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from harness.errors import AlreadyDone, Busy, StoreError, Superseded
from harness.redact import redact
from harness.store import atomic, journal
from harness.store.layout import StageFolder, refuse_link
from harness.store.liveness import HEARTBEAT_S, Heartbeat, holder, is_earlier_start

MARKS = 16
"""Checkpoints for which the journal's state is kept: more than the checkpoints kept on disk."""


def marks(folder: StageFolder, step: int) -> journal.Marks:
    """The journal's state at the checkpoint of `step`; {} if it was not recorded or is damaged."""
    for attempt in reversed(folder.attempts()):
        try:
            said = atomic.read_json(attempt / "marks.json")
        except StoreError:
            continue
        found = said.get(str(step)) if isinstance(said, dict) else None
        if (noted := as_marks(found)) is not None:
            return noted
    return {}


def as_marks(found: Any) -> journal.Marks | None:
    """A JSON value as marks of journal files; None if it has another form."""
    if not isinstance(found, dict):
        return None
    pairs = {name: pair for name, pair in found.items() if name.isdecimal()}
    if not all(_is_mark(pair) for pair in pairs.values()):
        return None
    return {name: (pair[0], pair[1]) for name, pair in pairs.items()}


def _is_mark(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(each) is int and 0 <= each < 2**53 for each in value)
    )


def write_end(attempt: Path, how: str, message: str, **more: str) -> None:
    """Write an attempt's ended.json, for this attempt or for one that could not write it itself.

    Args:
        attempt: its folder.
        how: finished, diverged, interrupted, failed or superseded.
        message: why; secrets are removed.
        more: `lost`, the ranks whose death ended it.

    Raises:
        StoreError: the folder cannot be written.
    """
    for place in (attempt, attempt.parent, attempt.parent.parent):
        refuse_link(place)
    words = {"how": how, "message": redact(message), **more, "t": round(time.time())}
    atomic.write_json(attempt / "ended.json", words)


class Attempt:
    """A running attempt; always call `end`."""

    def __init__(self, folder: StageFolder, path: Path) -> None:
        self.folder = folder
        self.path = path
        self.number = int(path.name)
        self.journal = journal.Writer(path / "metrics.jsonl")
        self._before: journal.Marks = {}
        self._marks: dict[str, journal.Marks] = {}
        self._ended = False
        try:
            self._beat = Heartbeat(path)
        except StoreError:
            self.journal.close()
            raise

    def check_fence(self) -> None:
        """Raise Superseded if a newer attempt exists, or if the stage's folder was moved.

        Raises:
            StoreError: the folder cannot be read, e.g. as its file server does not answer.
        """
        try:
            here = (self.path / "alive.json").exists()
            newer = (self.path.parent / f"{self.number + 1:04d}").exists()
        except OSError as error:
            raise atomic.unread(error, self.path) from error
        if not here:
            raise Superseded(
                f"{self.path}: the folder was moved away while the stage ran; this process stops "
                "without writing"
            )
        if newer:
            raise Superseded(
                f"{self.folder.path}: attempt {self.number + 1} has taken over from this one; "
                "this process stops without writing"
            )

    def record(self, records: list[journal.Record]) -> None:
        """Append to the journal, unless superseded."""
        self.check_fence()
        self.journal.append(records)

    def goes_on_from(self, step: int) -> None:
        """Record that this attempt resumes from the checkpoint of `step`."""
        self._before = marks(self.folder, step)

    def mark(self, step: int, so_far: journal.Mark) -> None:
        """Wait until the journal is on disk and record its state, just before the checkpoint of
        `step`.

        An attempt that resumes from this checkpoint can then detect lost or changed lines.

        Args:
            so_far: the journal's `mark` when that checkpoint was made.
        """
        self.journal.sync()
        self._marks[str(step)] = {**self._before, self.path.name: so_far}
        self._marks = dict(list(self._marks.items())[-MARKS:])
        atomic.write_json(self.path / "marks.json", self._marks)

    def describe(self, provenance: dict[str, Any]) -> None:
        """Write attempt.json: the provenance of this attempt."""
        atomic.write_json(self.path / "attempt.json", provenance)

    def seal(self) -> dict[str, Any]:
        """What ties a result to its stage and journal: the stage's id, and the size in bytes and
        the checksum of each attempt's file.

        Raises:
            StoreError: an earlier attempt's file cannot be read.
        """
        found = {path.name: journal.mark_of(path) for path in self.folder.attempts()}
        return {"stage": self.folder.id, "journal": found | {self.path.name: self.journal.mark}}

    def finish(self, result: dict[str, Any]) -> None:
        """Write the stage's result.json; the stage is then done."""
        self.check_fence()
        self.journal.sync()
        atomic.write_json(self.folder.path / "result.json", result)

    def end(self, how: str, message: str = "") -> None:
        """Record how this attempt ended: finished, diverged, interrupted, failed or superseded."""
        if self._ended:
            return
        self._ended = True
        self._beat.stop()
        self.journal.close()
        with contextlib.suppress(StoreError):  # a full disk must not hide why it ended
            write_end(self.path, how, message)


DRAFTS = (
    *("attempts/*/.*.tmp", "checkpoints/.*.tmp", "pictures/.*.tmp", "look/.*.tmp"),
    *(".result.json.*.tmp", ".look.json.*.tmp", ".precision_recall.json.*.tmp"),
)


def sweep(folder: StageFolder) -> None:
    """Remove files that earlier attempts left half written when they were killed or the disk
    failed."""
    for draft in (path for pattern in DRAFTS for path in folder.path.glob(pattern)):
        with contextlib.suppress(OSError):
            draft.unlink()


def _known_holder(attempt: Path) -> dict[str, Any] | None:
    """`holder`, but waits if the folder exists and its process has not yet written alive.json. If
    that process was killed in between, it is taken for dead."""
    until = time.monotonic() + 2 * HEARTBEAT_S
    while (who := holder(attempt)) is not None and who["pid"] == 0 and time.monotonic() < until:
        time.sleep(0.1)
    return who


def begin(folder: StageFolder) -> Attempt:
    """Start the stage's next attempt.

    Raises:
        AlreadyDone: the stage has a result, perhaps from another process since the plan was made.
        Busy: another process runs the newest attempt, or started this one first.
        StoreError: the folder cannot be written, or is a symbolic link.
    """
    folder.refuse_links()
    attempts = folder.attempts()
    who = _known_holder(attempts[-1]) if attempts else None
    if who is not None and not is_earlier_start(who):
        raise Busy(
            f"{folder.path}: process {who['pid']} on {who['host']} runs it (attempt "
            f"{attempts[-1].name}); wait for it, or stop it and run again"
        )
    if folder.result is not None:  # checked last: a holder writes it before it ends
        raise AlreadyDone(f"{folder.path}: already finished")
    number = int(attempts[-1].name) + 1 if attempts else 1
    path = folder.path / "attempts" / f"{number:04d}"
    try:
        path.mkdir()
    except FileExistsError:
        raise Busy(f"{folder.path}: another process has just started attempt {number}") from None
    except OSError as error:
        raise atomic.write_error(error, path) from error
    sweep(folder)
    try:
        return Attempt(folder, path)
    except StoreError:  # no attempt was started: leave no holder behind
        with contextlib.suppress(OSError):
            (path / "metrics.jsonl").unlink(missing_ok=True)
            path.rmdir()
        raise
