"""Certificates: what `certify` found, one file for each edition and hardware.

RUNS/certificates/<edition>-<hardware's digest>.json
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.errors import StoreError
from harness.store import atomic
from harness.store.layout import refuse_link

SCHEMA = 1
"""Version of the file format; raised when the meaning of a key changes."""
FOLDER = "certificates"

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """One check."""

    name: str
    outcome: Outcome
    says: str
    """What was found, or why the check was not run."""
    figures: Mapping[str, float | int | str] = field(default_factory=dict)
    """The measured numbers, by name."""


@dataclass(frozen=True)
class Certificate:
    """The outcome of one `certify`."""

    edition: str
    hardware: Mapping[str, str | int]
    """device, cpu, nodes, processes, backend: what may differ between machines."""
    versions: Mapping[str, str]
    checks: Sequence[Check]
    when: str
    """When it ended, UTC, as 2026-11-22T10:15:00Z."""

    @property
    def passed(self) -> bool:
        """At least one check ran, and none failed."""
        outcomes = {check.outcome for check in self.checks}
        return "passed" in outcomes and "failed" not in outcomes

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that identify the hardware."""
        hardware = json.dumps(dict(self.hardware), sort_keys=True)
        return hashlib.sha256(hardware.encode()).hexdigest()[:8]

    @property
    def says(self) -> str:
        """The certificate in one sentence, without the full stop."""
        by = {o: [c.name for c in self.checks if c.outcome == o] for o in ("failed", "skipped")}
        passed = sum(check.outcome == "passed" for check in self.checks)
        found = f"passed {passed} check{'' if passed == 1 else 's'}"
        for outcome, names in by.items():
            found += f", {outcome}: {', '.join(names)}" if names else ""
        on = self.hardware
        processes = f"{on.get('processes', '?')} processes on {on.get('nodes', '?')} nodes"
        return (
            f"{found}; {on.get('device', '?')}, {processes}, {on.get('backend', '?')}, {self.when}"
        )


def write(runs: Path, certificate: Certificate) -> Path:
    """Write it, replacing one of the same edition and hardware; returns its path.

    Raises:
        StoreError: the folder cannot be written.
    """
    folder = runs / FOLDER
    refuse_link(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise atomic.write_error(error, folder) from error
    path = folder / f"{certificate.edition}-{certificate.digest}.json"
    said = {"schema": SCHEMA, "passed": certificate.passed, **asdict(certificate)}
    atomic.write_json(path, said)
    return path


def of(runs: Path, edition: str) -> list[Certificate]:
    """The edition's certificates, newest first; unreadable ones are left out."""
    found = [_read(path) for path in (runs / FOLDER).glob(f"{edition}-*.json")]
    kept = [each for each in found if each is not None and each.edition == edition]
    return sorted(kept, key=lambda each: each.when, reverse=True)


def _read(path: Path) -> Certificate | None:
    try:
        said: dict[str, Any] = dict(atomic.read_json(path))
        if said.pop("schema") != SCHEMA:
            return None
        said.pop("passed")
        checks = tuple(Check(**check) for check in said.pop("checks"))
        return Certificate(**said, checks=checks)
    except (StoreError, TypeError, KeyError, ValueError):
        return None
