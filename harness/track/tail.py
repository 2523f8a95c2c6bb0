"""Read the journal as it grows, and return only records that can no longer change.

A tracker's offline file cannot be rewritten, and an online history only grows. So a record is
returned once no later attempt can replace it: when its step is at most the newest checkpoint's
(where the next attempt would resume), or when the stage is finished. Records after an interrupted
attempt's last checkpoint wait: the next attempt writes them again.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.store import atomic, journal
from harness.store.journal import NOT_METRICS
from harness.store.layout import StageFolder, may_be_shown

CHECKPOINT = re.compile(r"step-(\d+)-.*\.pt")


@dataclass
class Progress:
    """How far a mirror is.

    Attributes:
        rows: rows in the mirror's history, and the next row's number.
        step: the newest mirrored step.
        names: the metrics mirrored at that step: a record that adds others to it still counts.
        complete: whether all of a finished stage is mirrored, including its result.
        alerts: those that were given.
    """

    rows: int = 0
    step: int = -1
    names: list[str] = field(default_factory=list)
    complete: bool = False
    alerts: list[str] = field(default_factory=list)

    def copy(self) -> Progress:
        return Progress(**asdict(self))


def newest_checkpoint(folder: StageFolder) -> int:
    """The step of the stage's newest checkpoint, by the file names; -1 without one."""
    try:
        found = [CHECKPOINT.fullmatch(path.name) for path in folder.checkpoints.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return -1
    return max((int(match[1]) for match in found if match), default=-1)


class Tail:
    """A stage's journal; each read continues where the last one ended.

    Read to the end it gives the same as `journal.read`, sorted by step; each metric of a step once.
    """

    def __init__(self, folder: StageFolder, done: Progress) -> None:
        self.progress = done
        self._folder = folder
        self._number = -1
        self._offset = 0
        self._rest = b""
        self._first: int | None = None
        self._pending: list[tuple[int, journal.Record]] = []

    def settled(self, upto: int | None) -> list[journal.Record]:
        """The new records of steps up to `upto` (None: of all steps).

        Determine `upto` before the call: the journal is written before the checkpoint.
        """
        self._read()
        if upto is None:  # it has ended: as `journal.read`, the last line may lack its newline
            self._take([self._rest])
            self._rest = b""
        ripe = [r for _, r in self._pending if upto is None or r["step"] <= upto]
        self._pending = [p for p in self._pending if upto is not None and p[1]["step"] > upto]
        fresh = [self._once(record) for record in sorted(ripe, key=lambda r: int(r["step"]))]
        return [record for record in fresh if record]

    def _once(self, record: journal.Record) -> dict[str, Any] | None:
        """The record without metrics that are mirrored already; None if none are left."""
        step, done = record["step"], self.progress
        if step < done.step:
            return None
        known = done.names if step == done.step else []
        names = [n for n in record if n not in NOT_METRICS and n not in known]
        names = [n for n in names if may_be_shown(n, record[n])]
        if not names:
            return None
        done.step, done.names = step, known + names
        done.rows += 1
        return {k: v for k, v in record.items() if k in NOT_METRICS or k in names}

    def _read(self) -> None:
        for attempt in self._folder.attempts():
            number = int(attempt.name)
            if number < self._number:
                continue
            if number > self._number:
                self._take([self._rest])
                self._number = number
                self._offset, self._rest, self._first = 0, b"", None
            path = attempt / "metrics.jsonl"
            try:
                with atomic.opened(path) as file:
                    file.seek(self._offset)
                    data = file.read()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise atomic.unread(error, path) from error
            self._offset += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._take(lines)

    def _take(self, lines: list[bytes]) -> None:
        """Add lines of the current attempt; drop earlier attempts' lines that they replace."""
        records = journal.parse_all(lines)
        if not records:
            return
        first = min(record["step"] for record in records)
        if self._first is None or first < self._first:
            self._first = first
            self._pending = [
                (number, record)
                for number, record in self._pending
                if number == self._number or record["step"] < first
            ]
        self._pending += [(self._number, record) for record in records]
