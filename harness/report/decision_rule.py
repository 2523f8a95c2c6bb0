"""Decide claims from seeds: one family of comparisons, Holm's correction, several analyses.

Only arithmetic on scores. `harness.report.claims` supplies the scores; `harness.report.rule_text`
explains the rule to readers of a report; `tests/report/test_error_rate.py` measures how often it is
wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from harness.recipe.claims import Claim, Fails
from harness.report.claim_statements import Criterion, Finding, criterion
from harness.report.comparison import JUDGED, Comparison, Scores, Side, Statement, compare_cells
from harness.report.sequential_design import Design
from harness.report.statistics import holm

Conclusion = Literal["reproduced", "not reproduced", "undecided", "unlearned", "incomplete"]
"""unlearned: a cell that the claim compares is not above the untrained control."""

SIDES: tuple[Side, Side] = ("above", "below")
"""Errors are possible on two sides of the true difference: alpha is split equally."""


@dataclass(frozen=True)
class Bounded:
    """A comparison with its interval at one analysis, and all that was found of it so far."""

    comparison: Comparison
    levels: tuple[float, float]
    """Probability that the lower bound is wrong, and the upper one; 0: no bound."""
    found: frozenset[Finding] = frozenset()

    @cached_property
    def low(self) -> float:
        return self.comparison.low(self.levels[0])

    @cached_property
    def high(self) -> float:
        return self.comparison.high(self.levels[1])

    def shows(self) -> frozenset[Finding]:
        """What this interval alone shows."""
        stated, low, high = self.comparison.statement, self.low, self.high
        shown: dict[Finding, bool] = {
            "better": low > stated.better,
            "worse": high < -stated.better,
            "not better": high <= stated.within,
            "not worse": low >= -stated.within,
        }
        return frozenset(finding for finding, it_is in shown.items() if it_is)

    def slack(self, finding: Finding) -> float:
        """By how many points the interval shows the finding; negative: it does not."""
        stated = self.comparison.statement
        return {
            "better": self.low - stated.better,
            "worse": -stated.better - self.high,
            "not better": stated.within - self.high,
            "not worse": self.low + stated.within,
        }[finding]


@dataclass(frozen=True)
class Decision:
    """The decision about one claim, and its evidence."""

    conclusion: Conclusion
    criterion: Criterion
    evidence: Mapping[Statement, Bounded]
    """Over the seeds of the analysis that decided, or of the last complete one; if there is none,
    over the available seeds."""
    seeds: int = 0
    """Number of seeds in the analysis; 0: no analysis is complete."""
    analysis: int = -1
    """Index of that analysis; -1: none."""

    @property
    def decided(self) -> bool:
        return self.conclusion in ("reproduced", "not reproduced")

    @property
    def unlearned(self) -> list[Bounded]:
        """The cells that are not, or not yet surely, above the untrained control. The failure of a
        cell that diverged counts in the claim's own comparison, which it loses."""
        found = [self.evidence[stated] for stated in self.criterion.learned]
        return [e for e in found if "better" not in e.found and not e.comparison.lost]

    def decisive(self) -> Bounded:
        """The comparison that decides the claim: the strongest against it, or the weakest for
        it."""
        if self.conclusion == "not reproduced":
            against = self.criterion.refuted_by
            return self.evidence[max(against, key=lambda each: self._slack(*each))[0]]
        return self.evidence[min(self.criterion.needs, key=lambda each: self._slack(*each))[0]]

    def _slack(self, stated: Statement, finding: Finding) -> tuple[bool, float, float]:
        bounded = self.evidence[stated]
        estimate = bounded.comparison.estimate
        middle = 0.0 if estimate is None else estimate.mean
        sign = 1 if finding in ("better", "not worse") else -1
        return finding in bounded.found, bounded.slack(finding), sign * middle

    @property
    def holds(self) -> bool:
        """Whether the means support the claim by its margins, without a test."""
        return all(
            _holds(self.evidence[stated].comparison, finding)
            for stated, finding in self.criterion.needs
        )


@dataclass
class _Family:
    """All comparisons of a table, of its claims and their preconditions, each once.

    The probability that any finding is false is at most alpha, whatever the dependence between the
    comparisons: half of it for lower bounds that are too high, half for upper bounds that are too
    low. On each side Holm's method gives the levels, at each analysis for its share of alpha. A
    comparison leaves a side when it is found better (worse), and leaves its level to the others
    (Maurer and Bretz, 2013). Before the first false finding on a side, all whose finding would be
    false are still in it, so each of them is tested at alpha / 2 divided by their number at most.
    """

    statements: Sequence[Statement]
    found: dict[Statement, frozenset[Finding]] = field(default_factory=dict)
    last: dict[Statement, tuple[float, float]] = field(default_factory=dict)
    """The levels at which each comparison was last tested."""

    def analyse(
        self, comparisons: Mapping[Statement, Comparison], alpha: float
    ) -> dict[Statement, Bounded]:
        """The complete comparisons with their bounds, after one analysis that may spend `alpha`."""
        levels = {stated: [0.0, 0.0] for stated in self.statements}
        for n, (side, last) in enumerate(zip(SIDES, ("better", "worse"), strict=True)):
            left = [s for s in self.statements if last not in self.found.get(s, ())]
            p_values = [comparisons[s].p(side) if s in comparisons else 1.0 for s in left]
            for stated, step in zip(left, holm(p_values, alpha / len(SIDES)), strict=True):
                levels[stated][n] = step.level
        return {
            stated: self._bound(comparison, (levels[stated][0], levels[stated][1]))
            for stated, comparison in comparisons.items()
        }

    def _bound(self, comparison: Comparison, levels: tuple[float, float]) -> Bounded:
        stated = comparison.statement
        found = self.found.get(stated, frozenset())
        if any(levels):
            found |= Bounded(comparison, levels).shows()
        before = self.last.get(stated, (0.0, 0.0))
        self.last[stated] = (levels[0] or before[0], levels[1] or before[1])
        self.found[stated] = found
        return Bounded(comparison, self.last[stated], found)


def decide_claims(claims: Sequence[Claim], scores: Scores, design: Design) -> list[Decision]:
    """A decision for each claim. The probability of any wrong decision is at most alpha if
    differences over seeds are normal (`welch`: nearly so). A claim that is decided at an analysis
    stays so."""
    criteria = [criterion(claim, design) for claim in claims]
    family = _Family(list(dict.fromkeys(stated for each in criteria for stated in each.all)))
    decisions: dict[int, Decision] = {}
    for analysis, size in enumerate(design.analyses):
        seeds = design.seeds[:size]
        comparisons = {
            stated: compare_cells(stated, scores, seeds)
            for stated in family.statements
            if _has(stated.sides(), scores, seeds)
        }
        for claim, each in zip(claims, criteria, strict=True):  # it failed whatever the control's
            if isinstance(claim, Fails) and all_diverged(claim, scores, seeds):
                comparisons |= {s: compare_cells(s, scores, seeds) for s in each.compared}
        bounded = family.analyse(comparisons, design.alpha_at(analysis))
        for n, each in enumerate(criteria):
            decided = n in decisions and decisions[n].decided
            if not decided and all(stated in bounded for stated in each.all):
                evidence = {stated: bounded[stated] for stated in each.all}
                decisions[n] = _conclude(Decision("undecided", each, evidence, size, analysis))
    return [
        decisions.get(n) or Decision("incomplete", each, _so_far(each, scores, design))
        for n, each in enumerate(criteria)
    ]


def _so_far(each: Criterion, scores: Scores, design: Design) -> dict[Statement, Bounded]:
    """The claim's comparisons over the seeds of the first analysis that there are."""
    seeds, level = design.seeds[: design.analyses[0]], design.alpha / len(SIDES)
    found = {stated: compare_cells(stated, scores, seeds) for stated in each.all}
    return {stated: Bounded(one, (level, level)) for stated, one in found.items()}


def _has(wanted: Iterable[tuple[str, str]], scores: Scores, seeds: Sequence[int]) -> bool:
    return all(seed in scores.get(side, {}) for side in wanted for seed in seeds)


def all_diverged(claim: Fails, scores: Scores, seeds: Sequence[int]) -> bool:
    """Whether the cell of a `fails` diverged in every seed."""
    values = scores.get((JUDGED, claim.cell), {})
    return all(seed in values and values[seed] is None for seed in seeds)


def _conclude(decision: Decision) -> Decision:
    """What follows for the claim from all that was found of its comparisons."""
    if any(
        "not better" in each.found
        or (
            len(each.comparison.ours) == 1 == decision.seeds
            and not _holds(each.comparison, "better")
        )
        for each in decision.unlearned
    ):  # a single seed has no interval
        return replace(decision, conclusion="unlearned")
    if decision.unlearned:
        return decision
    found = {stated: each.found for stated, each in decision.evidence.items()}
    if all(finding in found[stated] for stated, finding in decision.criterion.needs):
        return replace(decision, conclusion="reproduced")
    if any(finding in found[stated] for stated, finding in decision.criterion.refuted_by):
        return replace(decision, conclusion="not reproduced")
    return decision


def _holds(comparison: Comparison, finding: Finding) -> bool:
    stated, estimate = comparison.statement, comparison.estimate
    if finding in ("better", "not worse"):
        least = stated.better if finding == "better" else -stated.within
        return not comparison.lost and (estimate is None or estimate.mean > least)
    most = -stated.better if finding == "worse" else stated.within
    return not comparison.won and (estimate is None or estimate.mean <= most)
