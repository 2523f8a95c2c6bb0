"""Compare two cells over seeds: the difference of their means, and bounds for the true one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from harness.report.statistics import Estimate, paired, welch

JUDGED = "judged"
"""Stands for the scale's metric where others are named, e.g. "pretext/top1"."""

Scores = Mapping[tuple[str, str], Mapping[int, float | None]]
"""(metric or JUDGED, cell) -> seed -> value in percent; None: that seed's pre-training diverged."""

Side = Literal["above", "below"]


@dataclass(frozen=True)
class Statement:
    """A pair of cells, and the margins by which their difference is judged."""

    cell: str
    over: str
    better: float
    """Points above (below) zero beyond which `cell` is better (worse) than `over`."""
    within: float
    """Points around zero within which they are alike; `better` or more."""
    measure: str = JUDGED
    welch: bool = False
    """Whether the seeds of the two cells are independent samples; False: they are pairs."""

    def sides(self) -> list[tuple[str, str]]:
        return [(self.measure, self.cell), (self.measure, self.over)]


@dataclass(frozen=True)
class Comparison:
    """A statement, and the values that its cells have in some seeds."""

    statement: Statement
    ours: tuple[float, ...]
    """Of `cell`, one for each seed that finished in both cells."""
    theirs: tuple[float, ...]
    """Of `over`, for the same seeds."""
    lost: int
    """Number of seeds in which `cell` diverged: it is below, whatever the other cell's value."""
    won: int
    """Number of seeds in which only `over` diverged."""

    @cached_property
    def seeds(self) -> int:
        return len(self.ours) + self.lost + self.won

    @property
    def differences(self) -> tuple[float, ...]:
        """In points, one for each seed that finished in both cells."""
        return tuple(a - b for a, b in zip(self.ours, self.theirs, strict=True))

    @cached_property
    def estimate(self) -> Estimate | None:
        """The difference of the finished seeds; None without any."""
        if not self.ours:
            return None
        if self.statement.welch:
            return welch(self.ours, self.theirs)
        return paired(self.differences)

    def low(self, level: float) -> float:
        """The lower bound of the true difference; it is too high with probability `level`."""
        if self.lost or self.seeds < 2:
            return -math.inf
        if self.estimate is None:
            return math.inf if self.won else -math.inf
        return self.estimate.mean - self.estimate.reach(level)

    def high(self, level: float) -> float:
        """The upper bound of the true difference; it is too low with probability `level`."""
        if self.won or self.seeds < 2:
            return math.inf
        if self.estimate is None:
            return -math.inf if self.lost else math.inf
        return self.estimate.mean + self.estimate.reach(level)

    def p(self, side: Side) -> float:
        """p-value of the hypothesis that `cell` is not better (above) or not worse (below)."""
        better = self.statement.better
        if side == "above":
            decided, against = self.won, self.lost
        else:
            decided, against = self.lost, self.won
        if against or self.seeds < 2:
            return 1.0
        if self.estimate is None:
            return 0.0 if decided else 1.0
        if side == "above":
            return self.estimate.p_above(better)
        return self.estimate.p_below(-better)


def compare_cells(statement: Statement, scores: Scores, seeds: Sequence[int]) -> Comparison:
    """Compare two cells over these seeds; a seed that a cell does not have is left out. A diverged
    seed loses to any value."""
    ours, theirs = (scores.get(side, {}) for side in statement.sides())
    pairs = []
    lost = won = 0
    for seed in seeds:
        if seed in ours and ours[seed] is None:
            lost += 1  # lost whatever the other cell's value is, or will be
            continue
        a, b = ours.get(seed), theirs.get(seed)
        if a is not None and b is not None:
            pairs.append((a, b))
        elif a is not None and seed in theirs:
            won += 1
    mine, other = tuple(a for a, _ in pairs), tuple(b for _, b in pairs)
    return Comparison(statement, mine, other, lost, won)
