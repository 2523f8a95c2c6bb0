"""What the doctor found: one line for each thing that was looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from harness.site import Site

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's."""

    level: Level
    """problem: runs will fail or never start. warning: they will run, less well than they could."""
    about: str
    says: str
    """What was seen and, unless it is ok, what to change."""


def ok(about: str, says: str) -> Finding:
    """It is as it should be."""
    return Finding("ok", about, says)


def warning(about: str, says: str) -> Finding:
    """Runs will do without it, less well."""
    return Finding("warning", about, says)


def problem(about: str, says: str) -> Finding:
    """Runs will fail, or never start."""
    return Finding("problem", about, says)


class Examiner(Protocol):
    """Looks whether a launcher will run stages on this site."""

    def findings(
        self, site: Site, note: Callable[[str], object], *, submit: bool
    ) -> Iterator[Finding]:
        """What was found; `submit` also sends a short job. `note` is told what that waits for."""

    def least(self) -> str:
        """The least that a site file must say for the launcher to be used here."""
