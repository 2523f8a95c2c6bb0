"""The journal: what was measured, step by step. It is the truth; everything else mirrors it.

An attempt appends lines of JSON to its own file. Read together, a newer attempt wins from its
first step on, and a torn last line is ignored: each step stands exactly once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.store import atomic
from harness.store.layout import StageFolder

Record = dict[str, Any]
"""{"step": int, "epoch": float, "t": unix seconds, metric name: number, ...}"""


class Writer:
    """Appends to one attempt's metrics.jsonl.

    Raises (every method): StoreError if the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise atomic.explain(error, path) from error

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write the records with one system call, so that a kill tears at most the last line."""
        text = "".join(json.dumps(r, separators=(",", ":")) + "\n" for r in records)
        data = text.encode()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            raise atomic.explain(error, self._path) from error

    def sync(self) -> None:
        """Wait until what was appended is on disk: a checkpoint must not outlive its journal."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise atomic.explain(error, self._path) from error

    def close(self) -> None:
        os.close(self._fd)


def read_file(path: Path) -> list[Record]:
    """The whole records of one attempt's file; [] if there is none.

    NaN and infinities, which Python's JSON writes for a diverged loss, come back as floats. A line
    that is not a record (torn by a kill or a full disk) is left out.

    Raises:
        StoreError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise atomic.explain(error, path) from error
    return [record for line in data.split(b"\n") if (record := parse(line)) is not None]


def parse(line: bytes) -> Record | None:
    """The record in a line; None if the line is torn or no record."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(record, dict) and isinstance(record.get("step"), int):
        return record
    return None


def read(folder: StageFolder) -> list[Record]:
    """All attempts' records as one journal, in order of writing, each step exactly once."""
    merged: list[Record] = []
    for attempt in folder.attempts():
        records = read_file(attempt / "metrics.jsonl")
        if records:
            first = min(record["step"] for record in records)
            merged = [record for record in merged if record["step"] < first]
            merged += records
    return merged


def series(records: Iterable[Record], metric: str) -> list[tuple[int, float, float]]:
    """(step, epoch, value) of each record that has `metric`."""
    return [(r["step"], r.get("epoch", 0.0), r[metric]) for r in records if metric in r]
