"""Which seeds a table may use, and when it is looked at: fixed before the first run.

A scale that says `max_seeds` adds seeds to what is undecided, and so looks more than once. Each
look has its share of alpha, so that the probability of a wrong verdict is at most alpha over all
looks together, whatever is decided at which (Bonferroni; the shares are equal).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from harness.recipe.ablation import Metric, Scale

COSTS: dict[Metric, str] = {"cost/memory": "GB", "cost/hours": "hours"}
"""The metrics that are no accuracies, with their units."""

FEWEST = 3
"""Earlier looks have no share of alpha: two seeds hardly ever decide anything."""


@dataclass(frozen=True)
class Rule:
    """By what a table's claims are judged."""

    margin: float
    alpha: float
    seeds: tuple[int, ...]
    """All seeds that a cell may have, in the order in which they are added."""
    looks: tuple[int, ...]
    """After how many of them the table is judged."""
    accuracy: bool = True
    """Whether an accuracy is judged: only then must cells have learned anything."""
    unit: str = "points"
    """Of differences and the margin."""

    def share(self, look: int) -> float:
        """The part of alpha that is spent at the look of this index."""
        spending = [n for n, size in enumerate(self.looks) if size >= FEWEST]
        spending = spending or [len(self.looks) - 1]
        return self.alpha / len(spending) if look in spending else 0.0


def rule_of(scale: Scale) -> Rule:
    """The scale's own rule."""
    first, most = len(scale.seeds), scale.max_seeds or len(scale.seeds)
    return Rule(
        scale.margin,
        scale.alpha,
        planned_seeds(scale),
        planned_looks(first, most),
        accuracy=scale.metric not in COSTS,
        unit=COSTS.get(scale.metric, "points"),
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


def planned_looks(first: int, most: int) -> tuple[int, ...]:
    """Numbers of seeds at which to look, each half as many again: 3, 5, 8, 12 of 12."""
    sizes = [first]
    while sizes[-1] < most:
        sizes.append(min(most, ceil(1.5 * sizes[-1])))
    return tuple(sizes)
