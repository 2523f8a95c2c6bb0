"""Sequential design: which seeds a table may use, when it is analysed, and what each analysis may
spend of alpha. Fixed before the first run.

A scale with `looks` says both. A scale with `max_seeds` is analysed more often, and each analysis
gets an equal share of alpha. The shares add up to alpha at most, so the probability of a wrong
verdict is at most alpha over all analyses together (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from harness.recipe.ablation import Scale
from harness.recipe.judging import ALIKE, BETTER, Judging
from harness.report.measures import COSTS, difference_unit

FEWEST = 3
"""Analyses of fewer seeds have no share of alpha: two seeds almost never decide anything."""


@dataclass(frozen=True)
class Design:
    """The settings by which a table's claims are judged."""

    margin: float | None
    """The scale's margin; None: the defaults, another one for better than for alike."""
    alpha: float
    seeds: tuple[int, ...]
    """All seeds that a cell may have, in the order in which they are added."""
    analyses: tuple[int, ...]
    """The numbers of seeds at which the table is analysed."""
    spending: tuple[float, ...] = ()
    """What each analysis spends of alpha. (): equal shares."""
    judging: Mapping[str, Judging] = field(default_factory=dict)
    """Claim id -> its own margins and test."""
    metric: str = ""
    """The scale's metric."""
    accuracy: bool = True
    """Whether the metric is an accuracy: only then must cells be above the control."""
    unit: str = "points"
    """Unit of differences and of the margin."""

    def alpha_at(self, analysis: int) -> float:
        """What the analysis with this index may spend of alpha."""
        if self.spending:
            return self.spending[analysis]
        shared = [n for n, size in enumerate(self.analyses) if size >= FEWEST]
        shared = shared or [len(self.analyses) - 1]
        return self.alpha / len(shared) if analysis in shared else 0.0

    def better(self, claim_id: str) -> float:
        """By how much one cell must be above the other."""
        own = self.judging.get(claim_id, Judging()).margin
        return next((m for m in (own, self.margin) if m is not None), BETTER)

    def alike(self, claim_id: str) -> float:
        """Within how much cells are alike; never less than makes one of them better."""
        own = self.judging.get(claim_id, Judging()).alike
        within = next((m for m in (own, self.margin) if m is not None), ALIKE)
        return max(within, self.better(claim_id))

    def welch(self, claim_id: str) -> bool:
        """Whether the claim compares independent samples."""
        return self.judging.get(claim_id, Judging()).test == "welch"


def design_of(scale: Scale) -> Design:
    """The scale's own design."""
    looks = tuple(look.seeds for look in scale.looks)
    return Design(
        scale.margin,
        scale.alpha,
        planned_seeds(scale),
        looks or planned_analyses(len(scale.seeds), scale.most_seeds),
        spending=tuple(look.alpha for look in scale.looks),
        judging=scale.judging,
        metric=scale.metric,
        accuracy=scale.metric not in COSTS,
        unit=difference_unit(scale.metric),
    )


def planned_seeds(scale: Scale) -> tuple[int, ...]:
    """The scale's seeds, then the next numbers not used for tuning, up to the most planned."""
    tuned = {seed for tuning in scale.tuned_on for seed in tuning.seeds}
    found = list(scale.seeds)
    candidate = max(found) + 1
    while len(found) < scale.most_seeds:
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
