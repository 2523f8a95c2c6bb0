"""What an export has written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EXPORTS = "exports"
"""The default folder for exports in the run root."""


@dataclass(frozen=True)
class Exported:
    """The exported files, written now or earlier."""

    stage: str
    """The stage that trained the weights."""
    folder: Path
    weights: Path
    files: tuple[Path, ...]
    """The weights, their additional files, and the model card, README.md."""
    sha256: str
    """SHA-256 of the weights' file."""
    written: bool
    """False: identical files were there already."""
    notes: tuple[str, ...] = ()
    """What users of the weights must know."""
