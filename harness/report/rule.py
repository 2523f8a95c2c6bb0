"""Which claims the seeds decide: tests against the margin, Holm's correction, several looks.

Pure arithmetic on scores; `harness.report.claims` states the rule in words and feeds it.
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
    compare,
    gather,
    must_learn,
    sides,
)
from harness.report.looks import Rule
from harness.report.statistics import holm

Outcome = Literal["reproduced", "not reproduced", "undecided", "unlearned", "incomplete"]
"""unlearned: a cell that the claim compares is not above the untrained control."""

MANY = 100
"""An estimate of the seeds needed goes so far, where the scale does not say `max_seeds`."""


@dataclass(frozen=True)
class Ruling:
    """What was decided about one claim, and by what."""

    outcome: Outcome
    evidence: Evidence
    """Over the seeds of the look that decided, or of the last complete one; while there is none,
    over what there is."""
    seeds: int = 0
    """How many seeds the look had; 0: no look is complete."""
    look: int = -1
    """Index of that look; -1: none."""
    level: float = 0.0
    """One-sided level at which each of the claim's comparisons was tested; 0: not tested."""
    unlearned: tuple[Comparison, ...] = ()
    """Comparisons with the untrained control that failed, or are open where it is undecided."""


def decide(claims: Sequence[Claim], scores: Scores, rule: Rule) -> list[Ruling]:
    """A ruling for each claim; together they are one family for Holm's correction.

    The probability of any wrong ruling is at most alpha if differences over seeds are normal: half
    of it for claims wrongly reproduced, half for claims wrongly not reproduced, each direction
    corrected by Holm's method. A claim that is decided at a look stays so and leaves its
    direction's family (Maurer and Bretz, 2013).
    """
    rulings = [
        Ruling("incomplete", gather(claim, rule, scores, rule.seeds[: rule.looks[0]]))
        for claim in claims
    ]
    for look, size in enumerate(rule.looks):
        seeds = rule.seeds[:size]
        for n, claim in enumerate(claims):
            if not _decided(rulings[n]) and complete(claim, rule, scores, seeds):
                evidence = gather(claim, rule, scores, seeds)
                rulings[n] = _gate(claim, Ruling("undecided", evidence, size, look), scores, rule)
        _test(rulings, look, rule)
    return rulings


def complete(claim: Claim, rule: Rule, scores: Scores, seeds: Sequence[int]) -> bool:
    """Whether every cell that the claim rests on has every one of these seeds."""
    if isinstance(claim, Fails) and all_diverged(claim, scores, seeds):
        return True  # it has failed, whatever the control says
    return all(seed in scores.get(side, {}) for side in sides(claim, rule) for seed in seeds)


def all_diverged(claim: Fails, scores: Scores, seeds: Sequence[int]) -> bool:
    """Whether the cell of a `fails` diverged in every seed."""
    values = scores.get(("judged", claim.cell), {})
    return all(seed in values and values[seed] is None for seed in seeds)


def _decided(ruling: Ruling) -> bool:
    return ruling.outcome in ("reproduced", "not reproduced")


def _gate(claim: Claim, ruling: Ruling, scores: Scores, rule: Rule) -> Ruling:
    """A mechanism must beat the untrained control before it is compared.

    Diverged seeds are left out here: they count in the comparison itself. A single pair of
    finished seeds is held against the margin alone.
    """
    seeds = rule.seeds[: ruling.seeds]
    failed: list[Comparison] = []
    unsure: list[Comparison] = []
    for cell in must_learn(claim, rule):
        values = scores.get(("judged", cell), {})
        finished = [seed for seed in seeds if values.get(seed) is not None]
        found = compare(Statement(cell, CONTROL, rule.margin), scores, finished)
        if len(finished) > 1 and found.p_false > rule.alpha / 2:
            (failed if found.p_true <= rule.alpha / 2 else unsure).append(found)
        elif len(finished) == 1 and not found.holds:
            failed.append(found)
    if failed:
        return replace(ruling, outcome="unlearned", unlearned=tuple(failed))
    return replace(ruling, unlearned=tuple(unsure))


def _test(rulings: list[Ruling], look: int, rule: Rule) -> None:
    """Decide what this look decides; the family is every claim not yet decided that way."""
    level = rule.share(look) / 2
    if not level or rule.looks[look] < 2:
        return
    directions: tuple[Outcome, Outcome] = ("reproduced", "not reproduced")
    for outcome in directions:
        family = [n for n, ruling in enumerate(rulings) if ruling.outcome != outcome]
        p_values = [_p(rulings[n], look, outcome) for n in family]
        steps = holm(p_values, level)
        for n, step in zip(family, steps, strict=True):
            ruling = rulings[n]
            if step.rejected:
                rulings[n] = replace(ruling, outcome=outcome, level=step.level)
            elif ruling.outcome == "undecided" and ruling.look == look:
                tested = min(ruling.level or step.level, step.level)
                rulings[n] = replace(ruling, level=tested)


def _p(ruling: Ruling, look: int, outcome: Outcome) -> float:
    """The claim's p-value at this look; 1 if there is nothing to test."""
    if ruling.outcome != "undecided" or ruling.look != look or ruling.unlearned:
        return 1.0
    return ruling.evidence.p_false if outcome == "reproduced" else ruling.evidence.p_true


def needed(ruling: Ruling, rule: Rule) -> int | None:
    """About how many seeds would decide an undecided claim, from the deviations so far; where more
    than one look is planned, those of the first look that has as many.

    One more than `furthest(rule)`: more than those. None: decided, or it cannot be told.
    """
    if ruling.outcome != "undecided" or ruling.seeds < 2:
        return None
    most = furthest(rule)
    if ruling.unlearned:
        counts = [each.needed(rule.alpha / 2, most) for each in ruling.unlearned]
        found = max((n for n in counts if n is not None), default=None)
    else:
        found = ruling.evidence.needed(ruling.level or rule.alpha / 2, most)
    if found is None:
        return None
    found = max(found, ruling.seeds + 1)
    planned = rule.looks if len(rule.looks) > 1 else ()
    return next((size for size in planned if size >= found), found)


def furthest(rule: Rule) -> int:
    """How far an estimate goes: the most seeds planned, or far beyond what anyone would run."""
    return rule.looks[-1] if len(rule.looks) > 1 else MANY
