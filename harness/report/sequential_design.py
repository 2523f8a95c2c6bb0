"""Which seeds a table may use, and when it is analysed: fixed before the first run.

A scale with `max_seeds` adds seeds to what is undecided, and so analyses the table more than once.
Each analysis has its share of alpha, so that the probability of a wrong verdict is at most alpha
over all of them together, whatever is decided at which (Bonferroni; the shares are equal).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from harness.recipe.ablation import Scale
from harness.report.measures import COSTS, difference_unit

FEWEST = 3
"""Analyses of fewer seeds have no share of alpha: two seeds hardly ever decide anything."""


@dataclass(frozen=True)
class Design:
    """By what a table's claims are judged."""

    margin: float
    alpha: float
    seeds: tuple[int, ...]
    """All seeds that a cell may have, in the order in which they are added."""
    analyses: tuple[int, ...]
    """After how many of them the table is judged."""
    accuracy: bool = True
    """Whether an accuracy is judged: only then must cells have learned anything."""
    unit: str = "points"
    """Of differences and the margin."""

    def alpha_at(self, analysis: int) -> float:
        """The part of alpha that is spent at the analysis of this index."""
        spending = [n for n, size in enumerate(self.analyses) if size >= FEWEST]
        spending = spending or [len(self.analyses) - 1]
        return self.alpha / len(spending) if analysis in spending else 0.0


def design_of(scale: Scale) -> Design:
    """The scale's own design."""
    first, most = len(scale.seeds), scale.max_seeds or len(scale.seeds)
    return Design(
        scale.margin,
        scale.alpha,
        planned_seeds(scale),
        planned_analyses(first, most),
        accuracy=scale.metric not in COSTS,
        unit=difference_unit(scale.metric),
    )


def planned_seeds(scale: Scale) -> tuple[int, ...]:
    """The scale's seeds, then the next numbers that served for no tuning, up to `max_seeds`."""
    tuned = {seed for tuning in scale.tuned_on for seed in tuning.seeds}
    found = list(scale.seeds)
    candidate = max(found) + 1
    while len(found) < (scale.max_seeds or 0):
        if candidate not in tuned:
            found.append(candidate)
        candidate += 1
    return tuple(found)


def planned_analyses(first: int, most: int) -> tuple[int, ...]:
    """Numbers of seeds after which to analyse, each half as many again: 3, 5, 8, 12 of 12."""
    sizes = [first]
    while sizes[-1] < most:
        sizes.append(min(most, ceil(1.5 * sizes[-1])))
    return tuple(sizes)
