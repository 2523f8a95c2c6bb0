"""The records of a stage's newest attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import atomic
from harness.store.layout import StageFolder
from harness.store.liveness import is_of


@dataclass(frozen=True)
class LastAttempt:
    """The records of one attempt."""

    ended: str
    """failed or interrupted; "" if it did not record its end."""
    lost: str
    """Ranks of the processes whose death ended it; "" if that is not the reason."""
    began: float
    heard: float
    """Time of its last write, in seconds since 1970, as `began` is."""
    host: str
    who: Mapping[str, Any] = field(default_factory=dict)
    """The content of alive.json."""
    traced: bool = False
    """It left a traceback: an error of Python ended it, not one of the harness."""

    def of(self, on: str, job: str, cluster: str) -> bool:
        """Whether it belongs to the launcher's job."""
        return is_of(self.who, on, job, cluster)


def last_attempt(folder: StageFolder) -> LastAttempt | None:
    """The newest attempt's records; None if there is none, or it cannot be read."""
    try:
        attempts = folder.attempts()
        if not attempts:
            return None
        path = attempts[-1]
        who: Any = atomic.read_json(path / "alive.json")
        ended: Any = atomic.read_json(path / "ended.json")
        heard = max(f.stat().st_mtime for f in (path, *path.iterdir()))
    except (StoreError, OSError):
        return None
    who = who if isinstance(who, dict) else {}
    ended = ended if isinstance(ended, dict) else {}
    how = str(ended.get("how", ""))
    return LastAttempt(
        ended="failed" if how == "failed" else "interrupted" if how else "",
        lost=str(ended.get("lost", "")),
        began=_began(path),
        heard=heard,
        host=str(who.get("host", "")),
        who=who,
        traced=(path / "traceback.txt").exists(),
    )


def _began(attempt: Path) -> float:
    """When the attempt started, or slightly later, in seconds since 1970."""
    record = attempt / "attempt.json"  # written once
    return (record if record.exists() else attempt).stat().st_mtime
