"""Express a claim as comparisons of pairs of cells, and test each of them over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import Literal

from harness.recipe.ablation import Metric
from harness.recipe.claims import CONTROL, Beats, Claim, Fails, Leak, Monotone, Ordering
from harness.report.sequential_design import Design
from harness.report.statistics import p_above, seeds_needed

Measure = Literal["judged", "knn", "pretext"] | Metric
"""judged: the scale's metric; knn: kNN top-1; pretext: pretext accuracy; a metric: that of a claim
that names one. All in percent."""

Scores = Mapping[tuple[Measure, str], Mapping[int, float | None]]
"""(measure, cell) -> seed -> value in percent; None: that seed's pre-training diverged."""


@dataclass(frozen=True)
class Statement:
    """`cell` is above `over` by more than `threshold` points."""

    cell: str
    over: str
    threshold: float
    measure: Measure = "judged"

    def sides(self) -> list[tuple[Measure, str]]:
        return [(self.measure, self.cell), (self.measure, self.over)]


@dataclass(frozen=True)
class Comparison:
    """A statement, and the seeds that both of its cells have."""

    statement: Statement
    differences: tuple[float, ...]
    """In points, one for each seed that finished in both cells."""
    lost: int
    """Number of seeds in which `cell` diverged: evidence against the statement."""
    won: int
    """Number of seeds in which only `over` diverged: evidence for the statement."""

    @property
    def seeds(self) -> int:
        return len(self.differences) + self.lost + self.won

    @cached_property
    def excess(self) -> float | None:
        """By how much the mean difference exceeds the threshold; None without a difference."""
        if not self.differences:
            return None
        mean = math.fsum(self.differences) / len(self.differences)
        return round(mean - self.statement.threshold, 9)

    @property
    def p_false(self) -> float:
        """p-value of the hypothesis that the statement is false; a small value supports the
        statement."""
        if self.lost:
            return 1.0
        if not self.differences:
            return 0.0 if self.won else 1.0
        return self._p if len(self.differences) > 1 else 1.0

    @property
    def p_true(self) -> float:
        """p-value of the hypothesis that the statement is true; a small value is evidence against
        it."""
        if self.won:
            return 1.0
        if not self.differences:
            return 0.0 if self.lost else 1.0
        return 1 - self._p if len(self.differences) > 1 else 1.0

    @property
    def holds(self) -> bool:
        """Whether the mean exceeds the threshold and no seed of `cell` diverged."""
        return not self.lost and (self.excess is None or self.excess > 0)

    def needed(self, level: float, most: int) -> int | None:
        """About how many seeds would decide it at this one-sided level; `most` + 1: more than that.

        None: unknown, because there is no deviation or because divergence contradicts the numbers.
        """
        if self.excess is None or len(self.differences) < 2:
            return None
        if (self.lost and self.excess > 0) or (self.won and self.excess <= 0):
            return None
        mean = math.fsum(self.differences) / len(self.differences)
        squares = math.fsum((x - mean) ** 2 for x in self.differences)
        sd = math.sqrt(squares / (len(self.differences) - 1))
        return seeds_needed(abs(self.excess), sd, level, most) or most + 1

    @cached_property
    def _p(self) -> float:
        return p_above(self.differences, self.statement.threshold)


@dataclass(frozen=True)
class Evidence:
    """All comparisons of a claim. The claim says that each one holds (`fails`: that its only one
    does not)."""

    comparisons: tuple[Comparison, ...]
    negated: bool

    @property
    def p_false(self) -> float:
        """p-value of the hypothesis that the claim is false: the largest of the comparisons."""
        if self.negated:
            return self.comparisons[0].p_true
        return max(each.p_false for each in self.comparisons)

    @property
    def p_true(self) -> float:
        """p-value of the hypothesis that the claim is true. One comparison against the claim is
        enough, so it is the smallest p-value times the number of comparisons (Bonferroni)."""
        if self.negated:
            return self.comparisons[0].p_false
        return min(1.0, len(self.comparisons) * min(each.p_true for each in self.comparisons))

    @property
    def holds(self) -> bool:
        """Whether the means support the claim by the thresholds, without a test."""
        return all(each.holds for each in self.comparisons) != self.negated

    def decisive(self, against: bool = False) -> Comparison:
        """The comparison that decides the claim: the weakest, or the strongest against it."""
        if against:
            return min(self.comparisons, key=lambda each: (each.p_true, _excess(each)))
        return max(self.comparisons, key=lambda each: (each.p_false, -_excess(each)))

    def needed(self, level: float, most: int) -> int | None:
        """About how many seeds would decide the claim; see Comparison.needed."""
        counts = [each.needed(level, most) for each in self.comparisons]
        if self.negated or self.holds:
            return None if None in counts else max(n for n in counts if n is not None)
        part = level / len(self.comparisons)
        counts = [each.needed(part, most) for each in self.comparisons if not each.holds]
        return min((n for n in counts if n is not None), default=None)


def _excess(comparison: Comparison) -> float:
    """Key for sorting: a comparison without a difference is greater than all others."""
    if comparison.excess is not None:
        return comparison.excess
    return -math.inf if comparison.lost else math.inf


def statements(claim: Claim, margin: float) -> list[Statement]:
    """The claim as statements about pairs of cells; for `fails`, the statement that the claim
    denies."""
    of = measure_of(claim)
    if isinstance(claim, Fails):
        return [Statement(claim.cell, CONTROL, margin, of)]
    if isinstance(claim, Beats):
        return [Statement(claim.cell, claim.over, margin, of)]
    if isinstance(claim, Leak):
        return [
            Statement(claim.cell, claim.over, margin, "pretext"),
            Statement(claim.over, claim.cell, margin, "knn"),
        ]
    if isinstance(claim, Ordering):
        return [Statement(better, worse, 0.0, of) for better, worse in pairwise(claim.cells)]
    if isinstance(claim, Monotone):
        steps = [Statement(later, first, -margin, of) for first, later in pairwise(claim.cells)]
        return [*steps, Statement(claim.cells[-1], claim.cells[0], margin, of)]
    pairs = list(combinations(claim.cells, 2))  # a plateau: two one-sided tests for each pair
    return [Statement(*pair, -margin, of) for a, b in pairs for pair in ((a, b), (b, a))]


def measure_of(claim: Claim) -> Measure:
    """What the claim's cells are compared by."""
    return claim.metric or "judged"


def must_learn(claim: Claim, design: Design) -> list[str]:
    """The cells that must be above the untrained control before the claim can be judged.

    Cells that the claim says fail or leak may have any low value.
    """
    alone = isinstance(claim, Fails) or (isinstance(claim, Beats) and claim.over == CONTROL)
    if alone or not design.accuracy:
        return []
    if isinstance(claim, Leak):
        return [claim.over]
    return [cell for _, cell in claim.named() if cell != CONTROL]


def gather(claim: Claim, design: Design, scores: Scores, seeds: Sequence[int]) -> Evidence:
    """The claim's comparisons over these seeds. A seed that a cell does not have is left out."""
    return Evidence(
        tuple(
            compare_cells(statement, scores, seeds)
            for statement in statements(claim, design.margin)
        ),
        negated=isinstance(claim, Fails),
    )


def compare_cells(statement: Statement, scores: Scores, seeds: Sequence[int]) -> Comparison:
    """Compare two cells seed by seed. A diverged seed loses to any value."""
    ours, theirs = (scores.get(side, {}) for side in statement.sides())
    differences = []
    lost = won = 0
    for seed in seeds:
        if seed in ours and ours[seed] is None:
            lost += 1  # lost whatever the other cell's value is, or will be
            continue
        a, b = ours.get(seed), theirs.get(seed)
        if a is not None and b is not None:
            differences.append(a - b)
        elif a is not None and seed in theirs:
            won += 1
    return Comparison(statement, tuple(differences), lost, won)


def sides(claim: Claim, design: Design) -> Iterator[tuple[Measure, str]]:
    """Every (measure, cell) that the claim's verdict depends on. The control comes last, if cells
    must be above it."""
    seen: dict[tuple[Measure, str], None] = {}
    for statement in statements(claim, design.margin):
        seen.update(dict.fromkeys(statement.sides()))
    learning, of = must_learn(claim, design), measure_of(claim)
    seen.update(dict.fromkeys((of, cell) for cell in learning))
    if learning:
        seen[of, CONTROL] = None
    yield from seen
