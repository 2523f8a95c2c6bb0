"""Sequential design: which seeds a table may use, and when it is analysed. Fixed before the first
run.

A scale with `max_seeds` adds seeds to undecided claims, and so analyses the table more than once.
Each analysis gets an equal share of alpha. So the probability of a wrong verdict is at most alpha
over all analyses together (Bonferroni).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from harness.recipe.ablation import Scale
from harness.report.measures import COSTS, difference_unit

FEWEST = 3
"""Analyses of fewer seeds have no share of alpha: two seeds almost never decide anything."""


@dataclass(frozen=True)
class Design:
    """The settings by which a table's claims are judged."""

    margin: float
    alpha: float
    seeds: tuple[int, ...]
    """All seeds that a cell may have, in the order in which they are added."""
    analyses: tuple[int, ...]
    """The numbers of seeds at which the table is analysed."""
    accuracy: bool = True
    """Whether the metric is an accuracy: only then must cells be above the control."""
    unit: str = "points"
    """Unit of differences and of the margin."""

    def alpha_at(self, analysis: int) -> float:
        """The share of alpha for the analysis with this index."""
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
    """The scale's seeds, then the next numbers not used for tuning, up to `max_seeds`."""
    tuned = {seed for tuning in scale.tuned_on for seed in tuning.seeds}
    found = list(scale.seeds)
    candidate = max(found) + 1
    while len(found) < (scale.max_seeds or 0):
        if candidate not in tuned:
            found.append(candidate)
        candidate += 1
    return tuple(found)


def planned_analyses(first: int, most: int) -> tuple[int, ...]:
    """Numbers of seeds at which to analyse, each half as many again: 3, 5, 8, 12 of 12."""
    sizes = [first]
    while sizes[-1] < most:
        sizes.append(min(most, ceil(1.5 * sizes[-1])))
    return tuple(sizes)
