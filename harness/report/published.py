"""Published run records: what marks a run root as one, and which edition its report is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import atomic

MARK = "published.json"
"""In the run root: {"recipe", "sets", "edition", "matplotlib"}."""


def published(runs: Path) -> dict[str, Any] | None:
    """What the mark says; None if `runs` holds no published records.

    Raises:
        StoreError: the mark is damaged.
    """
    found = atomic.read_json(runs / MARK)
    if found is None:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("edition"), str):
        raise StoreError(f"{runs / MARK}: not the mark of published records; publish them again")
    return found


def pinned(runs: Path) -> str | None:
    """The edition that the records were published with: their report is the same whatever code is
    installed. None if they are not published."""
    found = published(runs)
    return found["edition"] if found else None
