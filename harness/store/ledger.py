"""In which state each stage is, decided from its files alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import StoreError
from harness.store import atomic
from harness.store.attempt import holder
from harness.store.layout import StageFolder

State = Literal["absent", "running", "interrupted", "failed", "diverged", "finished", "damaged"]

DONE: tuple[State, ...] = ("finished", "diverged")
"""States that a stage does not leave: a diverged run is a result too."""


@dataclass(frozen=True)
class Entry:
    """One stage as the ledger sees it."""

    folder: StageFolder
    state: State
    detail: str = ""
    result: dict[str, Any] | None = None
    described: dict[str, Any] | None = None
    """stage.json; None if there is none, or it is damaged."""

    @property
    def done(self) -> bool:
        return self.state in DONE


def look(folder: StageFolder) -> Entry:
    """The stage's state: never an exception, a damaged folder is a state too."""
    described: dict[str, Any] | None = None

    def found(state: State, detail: str = "", result: dict[str, Any] | None = None) -> Entry:
        return Entry(folder, state, detail, result, described)

    try:
        described = folder.described
        result = folder.result
        if result is not None:
            state = result["state"]
            if state not in DONE:
                where = folder.path / "result.json"
                return found("damaged", f"{where}: says {state!r}; move it away and run again")
            return found(state, str(result.get("message", "")), result)
        attempts = folder.attempts()
        if not attempts:
            return found("absent")
        newest = attempts[-1]
        who = holder(newest)
        if who is not None:
            return found("running", f"process {who['pid']} on {who['host']}")
        ended = atomic.read_json(newest / "ended.json")
    except StoreError as error:
        return found("damaged", str(error))
    if not isinstance(ended, dict):
        return found("interrupted", f"attempt {int(newest.name)} died without a word")
    message = str(ended.get("message", ""))
    return found("failed" if ended.get("how") == "failed" else "interrupted", message)


def everything(runs: Path) -> Iterator[Entry]:
    """All stages under the run root, by name.

    Raises:
        StoreError: the run root cannot be read.
    """
    try:
        paths = sorted(p for p in runs.iterdir() if (p / "stage.json").exists())
    except FileNotFoundError:
        return
    except OSError as error:
        raise atomic.explain(error, runs) from error
    for path in paths:
        yield look(StageFolder(path))
