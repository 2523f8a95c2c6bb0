"""Which differences a table's seeds can decide, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.recipe.claims import Claim
from harness.report.claim_statements import criterion
from harness.report.comparison import Statement
from harness.report.decision_rule import SIDES
from harness.report.sequential_design import Design
from harness.report.statistics import POWER, decidable, equivalent


def comparisons_of(claims: Sequence[Claim], design: Design) -> list[Statement]:
    """All comparisons of these claims and their preconditions, each once: the family that shares
    alpha."""
    found = (criterion(claim, design) for claim in claims)
    return list(dict.fromkeys(s for each in found for s in each.all))


def first_level(claims: Sequence[Claim], design: Design, analysis: int = -1) -> float:
    """The one-sided level of every comparison while none is decided; at an analysis without a share
    of alpha, and by default, as if it were the only one."""
    alpha = (design.alpha_at(analysis) if analysis >= 0 else 0.0) or design.alpha
    return alpha / len(SIDES) / len(comparisons_of(claims, design))


def power_lines(claims: Sequence[Claim], design: Design, spread: float) -> Iterator[str]:
    """For each analysis that may decide something, which differences its seeds find.

    The level is that of the first comparison to be decided; the others have a greater one, and so
    find smaller differences.

    Args:
        claims: those that can be tested.
        spread: assumed standard deviation over seeds of a difference.
    """
    for analysis, n in enumerate(design.analyses):
        if not design.alpha_at(analysis) or n < 2 or not claims:
            continue
        level = first_level(claims, design, analysis)
        yield (
            f"{n} seeds: with a probability of {POWER:g} a difference is decided that is "
            f"{decidable(spread, n, level):.2g} {design.unit} or more beyond its margin, and equal "
            f"cells are found alike within {equivalent(spread, n, level):.2g} or more (assumed "
            f"spread {spread:g}, alpha {design.alpha_at(analysis):g} over "
            f"{len(comparisons_of(claims, design))} comparisons)"
        )
