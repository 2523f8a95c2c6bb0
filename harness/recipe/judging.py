"""How a table's claims are judged, as an ablation recipe fixes it before the first run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from harness.recipe.section import Section

BETTER = 0.0
"""Points by which a cell must be above another one to be better, by default."""

ALIKE = 1.5
"""Points within which cells are alike, by default."""

MOST_LOOKS = 2

Points = Annotated[float, Field(ge=0)]


class Judging(Section):
    """How one claim is judged, where it is not as the others."""

    margin: Points | None = None
    """Points by which one cell must be above the other; null: the scale's margin."""
    alike: Points | None = None
    """Points within which cells are alike; null: the scale's margin."""
    test: Literal["paired", "welch"] = "paired"
    """paired: differences seed by seed. welch: the seeds of the two cells are independent samples,
    each with its own variance."""


class Look(Section):
    """One analysis of the table: all seeds that it uses, and what it may spend of alpha."""

    seeds: Annotated[int, Field(ge=2)]
    alpha: Annotated[float, Field(gt=0, lt=1)]


def complaints(
    looks: Sequence[Look], seeds: int, max_seeds: int | None, alpha: float
) -> Iterator[tuple[str, str]]:
    """(field, complaint) about the looks of a scale with so many seeds."""
    if not looks:
        return
    if max_seeds is not None:
        yield "max_seeds", "leave it out: the last of `looks` says how many seeds there may be"
    if len(looks) > MOST_LOOKS:
        yield "looks", f"{len(looks)} looks: plan at most {MOST_LOOKS}"
    if looks[0].seeds != seeds:
        why = f"the first look uses the scale's own seeds: say {seeds}, or name other seeds"
        yield "looks.0.seeds", why
    for n, (one, other) in enumerate(pairwise(looks), 1):
        if other.seeds <= one.seeds:
            yield f"looks.{n}.seeds", f"a later look needs more than {one.seeds} seeds"
    spent = sum(look.alpha for look in looks)
    if spent > alpha + 1e-9:
        yield "looks", f"the looks spend {spent:g}, more than alpha = {alpha:g}: spend less"
