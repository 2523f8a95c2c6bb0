"""Published run records: the file that marks a run root as published, and the report's editions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import atomic
from harness.store.edition import Editions

MARK = "published.json"
"""In the run root: {"recipe", "sets", "edition", "matplotlib"}. The edition is one per kind of
task, or one text for all."""


def published(runs: Path) -> dict[str, Any] | None:
    """The content of the mark; None if `runs` holds no published records.

    Raises:
        StoreError: the mark is damaged.
    """
    found = atomic.read_json(runs / MARK)
    if found is None:
        return None
    if not isinstance(found, dict) or Editions.read(found.get("edition")) is None:
        raise StoreError(f"{runs / MARK}: not a mark of published records; publish them again")
    return found


def above(folder: Path, levels: int = 1) -> Path:
    """The folder that many levels above, also of `.` and of a path with `..`, for which
    `Path.parent` gives another one."""
    behind_links = os.pardir in folder.parts  # `..` after a link is above where it leads
    place = (os.path.realpath if behind_links else os.path.abspath)(folder)
    for _ in range(levels):
        place = os.path.dirname(place)  # noqa: PTH120
    return Path(place if folder.is_absolute() else os.path.relpath(place))


def pinned(runs: Path) -> Editions | None:
    """The editions that the records were published with: their report does not depend on the
    installed code. None if they are not published."""
    found = published(runs)
    return Editions.read(found["edition"]) if found else None
