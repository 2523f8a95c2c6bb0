"""Results of `bench` on this run root: RUNS/bench/<recipe>-<time>-<random>.json."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import atomic
from harness.store.layout import refuse_link

FOLDER = "bench"
NEWEST = 100
"""Number of records that are read."""


def prepare(runs: Path) -> Path:
    """Make the folder of a run root's measurements, and return it.

    Raises:
        StoreError: it is a link or a file, or cannot be made or written.
    """
    folder = runs / FOLDER
    refuse_link(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise atomic.write_error(error, folder) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise atomic.write_error(PermissionError(errno.EACCES, ""), folder)
    return folder


def keep(runs: Path, recipe: str, record: Mapping[str, Any]) -> Path:
    """Write a measurement into the run root; returns its file.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = prepare(runs) / f"{recipe}-{when}-{secrets.token_hex(2)}.json"
    atomic.write_json(path, record)
    return path


def newest_first(runs: Path) -> Iterator[Any]:
    """The measurements under a run root, newest first; unreadable ones are skipped."""
    dated = []
    with contextlib.suppress(OSError):
        for path in (runs / FOLDER).glob("*.json"):
            with contextlib.suppress(OSError):  # deleted meanwhile
                dated.append((path.stat().st_mtime, path))
    for _, path in sorted(dated, reverse=True)[:NEWEST]:
        with contextlib.suppress(StoreError):
            yield atomic.read_json(path)
