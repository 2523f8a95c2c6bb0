"""The journal: the metrics of each step. It is the authoritative record; the rest are copies.

Each attempt appends JSON lines to its own file. When the files are merged, a newer attempt
replaces older ones from its first step on, and a torn last line is ignored: each step appears
exactly once.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness.store import atomic
from harness.store.layout import StageFolder

TAIL = 16_384
"""Bytes at a file's end that are searched for its last complete record."""

Record = dict[str, Any]
"""{"step": int from 0, "epoch": float, "t": unix seconds, metric name: number, ...}"""

NOT_METRICS = frozenset({"step", "epoch", "t", "protocol"})
"""Keys of a record that give its time and place, not measurements."""


Mark = tuple[int, int]
"""Bytes of an attempt's file, and their CRC-32."""

Marks = dict[str, Mark]
"""Marks by attempt name."""


class Writer:
    """Appends to one attempt's metrics.jsonl.

    Raises (every method): StoreError if the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.mark: Mark = (0, 0)
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise atomic.write_error(error, path) from error

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write the records with one system call, so that a kill tears at most the last line."""
        text = "".join(json.dumps(r, separators=(",", ":")) + "\n" for r in records)
        data = text.encode()
        self.mark = self.mark[0] + len(data), zlib.crc32(data, self.mark[1])
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            raise atomic.write_error(error, self._path) from error

    def sync(self) -> None:
        """Wait until the appended lines are on disk: a checkpoint must never be newer than its
        journal."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise atomic.write_error(error, self._path) from error

    def close(self) -> None:
        os.close(self._fd)


def mark(data: bytes) -> Mark:
    """The mark of an attempt's file with content `data`."""
    return len(data), zlib.crc32(data)


def mark_of(attempt: Path) -> Mark:
    """The mark of an attempt's whole file in its present state.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        return mark(atomic.content(attempt / "metrics.jsonl"))
    except FileNotFoundError:
        return mark(b"")
    except OSError as error:
        raise atomic.unread(error, attempt / "metrics.jsonl") from error


def altered(folder: StageFolder, marks: Marks) -> str:
    """The attempt whose file no longer starts with its marked content; "" if none.

    Raises:
        StoreError: a file cannot be read.
    """
    for name, (length, crc) in marks.items():
        path = folder.path / "attempts" / name / "metrics.jsonl"
        try:
            with atomic.opened(path) as file:
                data = file.read(length)
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise atomic.unread(error, path) from error
        if mark(data) != (length, crc):
            return name
    return ""


def read_file(path: Path) -> list[Record]:
    """The complete records of one attempt's file; [] if there is no file.

    NaN and infinities, which Python's JSON writes for a diverged loss, are read as floats. A line
    that is not a record (torn by a kill or a full disk) is left out.

    Raises:
        StoreError: the file cannot be read.
    """
    try:
        data = atomic.content(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise atomic.unread(error, path) from error
    return parse_all(data.split(b"\n"))


def parse_all(lines: Iterable[bytes]) -> list[Record]:
    """The records in the lines; other lines are left out."""
    whole = [line for line in lines if line]
    try:  # one call for all lines is three times as fast as one per line
        found = json.loads(b"[" + b",null,".join(whole) + b"]")  # two lines form no object
    except (ValueError, RecursionError):
        found = []
    records = found[::2]
    if len(records) == len(whole) and all(map(_is_record, records)) and not any(found[1::2]):
        return list(records)
    return [record for line in whole if (record := parse(line)) is not None]


def _is_record(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    step = value.get("step")
    return type(step) is int and 0 <= step < 2**63  # JSON true is not a step


def parse(line: bytes) -> Record | None:
    """The record in a line; None if the line is torn or not a record."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if _is_record(record) else None


def read(folder: StageFolder) -> list[Record]:
    """All attempts' records as one journal, in the order of writing, each step exactly once."""
    return merge(read_file(attempt / "metrics.jsonl") for attempt in folder.attempts())


def merge(attempts: Iterable[list[Record]]) -> list[Record]:
    """Merge attempts' records, oldest attempt first; a newer attempt replaces older ones from its
    first step on."""
    merged: list[Record] = []
    sorted_ = True  # true for a trainer's output; then replaced records are at the end
    for records in attempts:
        steps = [record["step"] for record in records]
        if not steps:
            continue
        first = min(steps)
        if sorted_:
            while merged and merged[-1]["step"] >= first:
                merged.pop()
        else:
            merged = [record for record in merged if record["step"] < first]
        sorted_ = sorted_ and all(a <= b for a, b in pairwise(steps))
        merged += records
    return merged


def last(folder: StageFolder) -> Record | None:
    """The newest attempt's last complete record, read from its file's end; None if there is
    none."""
    for attempt in reversed(folder.attempts()):
        try:
            with atomic.opened(attempt / "metrics.jsonl") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
                lines = file.read().split(b"\n")
        except OSError:
            continue
        for line in reversed(lines):
            if (record := parse(line)) is not None:
                return record
    return None


def series(records: Iterable[Record], metric: str) -> list[tuple[int, float, float]]:
    """(step, epoch, value) of each record that has `metric`."""
    return [(r["step"], r.get("epoch", 0.0), r[metric]) for r in records if metric in r]
