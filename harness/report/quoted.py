"""Labels of cells in a sentence. They may hold commas of their own."""

from __future__ import annotations

from collections.abc import Iterable


def quoted(labels: Iterable[str]) -> str:
    """E.g. “MoCo, K = 64”, “end-to-end, K = 64”."""
    return ", ".join(f"“{label}”" for label in labels)
