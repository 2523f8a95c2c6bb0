"""Findings of the doctor: one line for each thing that was checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from harness.site import Site

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's output."""

    level: Level
    """problem: runs will fail or never start. warning: runs work, but less well than they could."""
    about: str
    says: str
    """What was found and, unless it is ok, what to change."""


def ok(about: str, says: str) -> Finding:
    """A finding that everything is correct."""
    return Finding("ok", about, says)


def warning(about: str, says: str) -> Finding:
    """A finding with which runs work, but less well."""
    return Finding("warning", about, says)


def problem(about: str, says: str) -> Finding:
    """A finding with which runs fail or never start."""
    return Finding("problem", about, says)


class Examiner(Protocol):
    """Checks whether a launcher can run stages on this site."""

    def findings(
        self, site: Site, note: Callable[[str], object], *, submit: bool
    ) -> Iterator[Finding]:
        """Yield what was found; `submit` also runs a short job. `note` reports what that job waits
        for."""

    def least(self) -> str:
        """The minimum that a site file must contain to use the launcher here."""
