"""Whether a finished stage still says what the code and weights at hand would say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def why_stale(
    result: Mapping[str, Any] | None, parent: Mapping[str, Any] | None, edition: str
) -> str:
    """Why `result` is not one of `edition` and of its parent's present weights; "" if it is.

    The plan, the report and `check` judge by this alone.

    Args:
        result: the stage's result.json; None: it has none, and nothing is stale.
        parent: that of the stage it builds on; None: there is none, or it has no result.
        edition: the code's edition that is wanted.
    """
    if result is None:
        return ""
    found = result.get("edition")
    if found != edition:
        return f"of edition {found or 'unknown'}"
    if parent is not None and result.get("weights") != parent.get("weights"):
        return "of other weights than its pre-training now has"
    return ""
