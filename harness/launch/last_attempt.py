"""What the newest attempt of a stage says of itself, whoever asks."""

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
    """One attempt's words."""

    ended: str
    """failed or interrupted; "" if it has not said that it ended."""
    lost: str
    """The processes whose death ended it, "" if that is not why."""
    began: float
    heard: float
    """The last that was heard of it, in seconds since 1970, as `began` is."""
    host: str
    who: Mapping[str, Any] = field(default_factory=dict)
    """alive.json."""

    def of(self, on: str, job: str, cluster: str) -> bool:
        """Whether it is a life of the launcher's job."""
        return is_of(self.who, on, job, cluster)


def last_attempt(folder: StageFolder) -> LastAttempt | None:
    """The newest attempt's words; None if there is none, or it cannot be read."""
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
    )


def _began(attempt: Path) -> float:
    """When the attempt began, or a little later, in seconds since 1970."""
    told = attempt / "attempt.json"  # written once
    return (told if told.exists() else attempt).stat().st_mtime
