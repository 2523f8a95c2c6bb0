"""The newest metric values of a stage, read from the ends of its journals: fast for any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from harness.store import atomic, journal
from harness.store.layout import StageFolder, may_be_shown

BLOCK = 1 << 18
"""Bytes read at a time, from the end backwards."""
FAR = 1 << 24
"""Bytes of one attempt that are searched for the newest value of each wanted metric."""


@dataclass
class Figures:
    """The present progress of a stage."""

    step: int = 0
    epoch: float = 0.0
    values: dict[str, float] = field(default_factory=dict)
    """The newest value of each metric found."""
    rate: float | None = None
    """Recent steps per second of this attempt, including pauses for kNN and checkpoints."""


class Latest:
    """Reads new lines only: each call continues where the last one stopped.

    Args:
        wanted: metrics that are also searched for further back and in earlier attempts.
    """

    def __init__(self, folder: StageFolder, wanted: Sequence[str] = ()) -> None:
        self._folder = folder
        self._wanted = frozenset(wanted)
        self._of: tuple[int, int] | None = None
        self._forget()

    def _forget(self) -> None:
        self._attempt: Path | None = None
        self._offset = 0
        self._rest = b""
        self._marks: list[tuple[float, int]] = []  # (seconds since 1970, step) of the attempt
        self.figures = Figures()

    def _is_shorter(self, attempt: Path) -> bool:
        """Whether its journal is shorter than what was read of it."""
        return _size(attempt / "metrics.jsonl") < self._offset

    def read(self) -> Figures:
        """The present values; those of a stage that is run anew replace those of the earlier run.

        Raises:
            StoreError: the folder cannot be read.
        """
        attempts, now = self._folder.attempts(), self._folder.identity
        if self._attempt is not None and (now != self._of or self._is_shorter(self._attempt)):
            self._forget()
        self._of = now
        if self._attempt is None:
            self._search(attempts)
        for attempt in attempts:
            if self._attempt is None or int(attempt.name) > int(self._attempt.name):
                self._attempt, self._offset, self._rest, self._marks = attempt, 0, b"", []
                self.figures.rate = None
            if attempt == self._attempt:
                data = _read(attempt / "metrics.jsonl", self._offset, None)
                self._offset += len(data)
                *lines, self._rest = (self._rest + data).split(b"\n")
                self._take(lines)
        return self.figures

    def _search(self, attempts: Sequence[Path]) -> None:
        """Take the newest lines, and search further back for the wanted metrics they lack."""
        missing = set(self._wanted)
        for attempt in reversed(attempts):
            path = attempt / "metrics.jsonl"
            size = end = _size(path)
            while end > 0 and size - end < FAR and (missing or self._attempt is None):
                begin = max(0, end - BLOCK)
                data = _read(path, begin, end)
                if begin:
                    data = data[data.find(b"\n") + 1 :]  # the rest of a cut line is read next
                if self._attempt is None:
                    whole = data[: data.rfind(b"\n") + 1]
                    self._attempt, self._offset = attempt, end - len(data) + len(whole)
                    self._take(whole.split(b"\n"))
                    missing -= set(self.figures.values)
                for name in sorted(missing):
                    if self._pick(name, data):
                        missing.discard(name)
                if not data:  # a line longer than a block is not from a journal
                    break
                end -= len(data)
            if not missing:
                return

    def _pick(self, name: str, data: bytes) -> bool:
        """Take the metric from the last line that has it, unless a later attempt resumed before
        it."""
        at = data.rfind(f'"{name}":'.encode())
        if at < 0:
            return False
        record = journal.parse(data[data.rfind(b"\n", 0, at) + 1 :].split(b"\n", 1)[0])
        value = record.get(name) if record else None
        if record is None or not _is_number(value) or not may_be_shown(name, value):
            return False
        if record["step"] <= self.figures.step:
            self.figures.values[name] = float(value)
        return True

    def _take(self, lines: Sequence[bytes]) -> None:
        figures = self.figures
        for record in (found for line in lines if (found := journal.parse(line)) is not None):
            figures.step = record["step"]
            figures.values |= {
                name: float(value)
                for name, value in record.items()
                if "/" in name and _is_number(value) and may_be_shown(name, value)
            }
            epoch, t = record.get("epoch"), record.get("t")
            if _is_number(epoch):
                figures.epoch = float(epoch)
            if _is_number(t):
                if self._marks and self._marks[-1][0] == t:
                    self._marks.pop()  # a block of steps is written at once
                self._marks.append((float(t), figures.step))
        self._marks = self._marks[-200:]
        if len(self._marks) > 1:
            (begun, first), (ended, last) = self._marks[0], self._marks[-1]
            if ended > begun and last > first:
                figures.rate = (last - first) / (ended - begun)


def _is_number(value: object) -> TypeGuard[float]:
    """Whether `value` is a number that fits a float; the non-finite loss of a diverged run
    counts."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**1023
    return isinstance(value, float)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read(path: Path, begin: int, end: int | None) -> bytes:
    try:
        with atomic.opened(path) as file:
            file.seek(begin)
            return file.read() if end is None else file.read(end - begin)
    except OSError:  # not there yet, or deleted
        return b""
