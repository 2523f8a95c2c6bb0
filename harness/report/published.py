"""Published run records: what marks a run root as one, and which editions its report is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import atomic
from harness.store.edition import Editions

MARK = "published.json"
"""In the run root: {"recipe", "sets", "edition", "matplotlib"}; the edition is each task's by its
kind, or one text for all."""


def published(runs: Path) -> dict[str, Any] | None:
    """What the mark says; None if `runs` holds no published records.

    Raises:
        StoreError: the mark is damaged.
    """
    found = atomic.read_json(runs / MARK)
    if found is None:
        return None
    if not isinstance(found, dict) or Editions.read(found.get("edition")) is None:
        raise StoreError(f"{runs / MARK}: not the mark of published records; publish them again")
    return found


def pinned(runs: Path) -> Editions | None:
    """The editions that the records were published with: their report is the same whatever code is
    installed. None if they are not published."""
    found = published(runs)
    return Editions.read(found["edition"]) if found else None
