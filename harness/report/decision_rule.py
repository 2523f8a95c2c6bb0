"""Decide claims from seeds: tests against the margin, Holm's correction, several analyses.

Only arithmetic on scores. `harness.report.claims` supplies the scores; `harness.report.rule_text`
explains the rule to readers of a report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.recipe.claims import CONTROL, Claim, Fails
from harness.report.comparison import (
    Comparison,
    Evidence,
    Scores,
    Statement,
    compare_cells,
    gather,
    measure_of,
    must_learn,
    sides,
)
from harness.report.sequential_design import Design
from harness.report.statistics import holm

Conclusion = Literal["reproduced", "not reproduced", "undecided", "unlearned", "incomplete"]
"""unlearned: a cell that the claim compares is not above the untrained control."""

DIRECTIONS = 2
"""Errors are possible in two directions, wrongly reproduced and wrongly not reproduced: alpha is
split equally."""

MANY = 100
"""Largest estimate of the seeds needed, if the scale has no `max_seeds`."""


@dataclass(frozen=True)
class Decision:
    """The decision about one claim, and its evidence."""

    conclusion: Conclusion
    evidence: Evidence
    """Over the seeds of the analysis that decided, or of the last complete one; if there is none,
    over the available seeds."""
    seeds: int = 0
    """Number of seeds in the analysis; 0: no analysis is complete."""
    analysis: int = -1
    """Index of that analysis; -1: none."""
    level: float = 0.0
    """One-sided level of the test of each of the claim's comparisons; 0: not tested."""
    unlearned: tuple[Comparison, ...] = ()
    """Comparisons with the untrained control that failed, or that are still undecided."""


def decide_claims(claims: Sequence[Claim], scores: Scores, design: Design) -> list[Decision]:
    """A decision for each claim; together they are one family for Holm's correction.

    The probability of any wrong decision is at most alpha if differences over seeds are normal:
    half of it for claims wrongly reproduced, half for claims wrongly not reproduced, each direction
    corrected by Holm's method. A claim that is decided at an analysis stays so and leaves its
    direction's family (Maurer and Bretz, 2013).
    """
    decisions = [
        Decision("incomplete", gather(claim, design, scores, design.seeds[: design.analyses[0]]))
        for claim in claims
    ]
    for analysis, size in enumerate(design.analyses):
        seeds = design.seeds[:size]
        for n, claim in enumerate(claims):
            if not _decided(decisions[n]) and complete(claim, design, scores, seeds):
                evidence = gather(claim, design, scores, seeds)
                decisions[n] = _gate(
                    claim, Decision("undecided", evidence, size, analysis), scores, design
                )
        _test(decisions, analysis, design)
    return decisions


def complete(claim: Claim, design: Design, scores: Scores, seeds: Sequence[int]) -> bool:
    """Whether every cell that the claim depends on has all of these seeds."""
    if isinstance(claim, Fails) and all_diverged(claim, scores, seeds):
        return True  # failed, whatever the control's value
    return all(seed in scores.get(side, {}) for side in sides(claim, design) for seed in seeds)


def all_diverged(claim: Fails, scores: Scores, seeds: Sequence[int]) -> bool:
    """Whether the cell of a `fails` diverged in every seed."""
    values = scores.get((measure_of(claim), claim.cell), {})
    return all(seed in values and values[seed] is None for seed in seeds)


def _decided(decision: Decision) -> bool:
    return decision.conclusion in ("reproduced", "not reproduced")


def _gate(claim: Claim, decision: Decision, scores: Scores, design: Design) -> Decision:
    """Require that a mechanism is above the untrained control before it is compared.

    Diverged seeds are left out here: they count in the comparison itself. A single pair of finished
    seeds is only compared with the margin.
    """
    seeds, of = design.seeds[: decision.seeds], measure_of(claim)
    failed: list[Comparison] = []
    unsure: list[Comparison] = []
    for cell in must_learn(claim, design):
        values = scores.get((of, cell), {})
        finished = [seed for seed in seeds if values.get(seed) is not None]
        found = compare_cells(Statement(cell, CONTROL, design.margin, of), scores, finished)
        if len(finished) > 1 and found.p_false > design.alpha / DIRECTIONS:
            (failed if found.p_true <= design.alpha / DIRECTIONS else unsure).append(found)
        elif len(finished) == 1 and not found.holds:
            failed.append(found)
    if failed:
        return replace(decision, conclusion="unlearned", unlearned=tuple(failed))
    return replace(decision, unlearned=tuple(unsure))


def _test(decisions: list[Decision], analysis: int, design: Design) -> None:
    """Apply one analysis. The family of each direction is every claim not yet decided in it."""
    level = design.alpha_at(analysis) / DIRECTIONS
    if not level or design.analyses[analysis] < 2:
        return
    directions: tuple[Conclusion, Conclusion] = ("reproduced", "not reproduced")
    for conclusion in directions:
        family = [n for n, decision in enumerate(decisions) if decision.conclusion != conclusion]
        p_values = [_p(decisions[n], analysis, conclusion) for n in family]
        steps = holm(p_values, level)
        for n, step in zip(family, steps, strict=True):
            decision = decisions[n]
            if step.rejected:
                decisions[n] = replace(decision, conclusion=conclusion, level=step.level)
            elif decision.conclusion == "undecided" and decision.analysis == analysis:
                tested = min(decision.level or step.level, step.level)
                decisions[n] = replace(decision, level=tested)


def _p(decision: Decision, analysis: int, conclusion: Conclusion) -> float:
    """The claim's p-value at this analysis; 1 if there is nothing to test."""
    if decision.conclusion != "undecided" or decision.analysis != analysis or decision.unlearned:
        return 1.0
    return decision.evidence.p_false if conclusion == "reproduced" else decision.evidence.p_true


def needed(decision: Decision, design: Design) -> int | None:
    """About how many seeds would decide an undecided claim, from the deviations so far. If several
    analyses are planned, it is the size of the first analysis with enough seeds.

    `furthest(design)` + 1: more than that. None: decided, or unknown.
    """
    if decision.conclusion != "undecided" or decision.seeds < 2:
        return None
    most = furthest(design)
    if decision.unlearned:
        counts = [each.needed(design.alpha / DIRECTIONS, most) for each in decision.unlearned]
        found = max((n for n in counts if n is not None), default=None)
    else:
        found = decision.evidence.needed(decision.level or design.alpha / DIRECTIONS, most)
    if found is None:
        return None
    found = max(found, decision.seeds + 1)
    planned = design.analyses if len(design.analyses) > 1 else ()
    return next((size for size in planned if size >= found), found)


def furthest(design: Design) -> int:
    """Largest estimate: the most seeds planned, or a number far beyond practice."""
    return design.analyses[-1] if len(design.analyses) > 1 else MANY
