"""Doubts about claims: those that a scale cannot test, and too few seeds to decide any."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from harness.preflight.sizes import Count, training_images
from harness.preflight.warned import Doubt
from harness.recipe.ablation import CONTROL, Ablation, Scale
from harness.recipe.claims import Claim, Plateau
from harness.recipe.expand import Expansion
from harness.recipe.reference import reference_recipes
from harness.recipe.schema import Recipe
from harness.report.claim_statements import at_scale
from harness.report.power import comparisons_of, first_level, power_lines
from harness.report.scale import is_papers, traits_of
from harness.report.sequential_design import FEWEST, design_of
from harness.report.statistics import t_quantile
from harness.report.testable import printed_rows, why_untestable

NOT_RUN, CELL = "this scale does not run ", "the cell "
"""How `why_untestable` begins to name a row that is not run, and a cell."""


def doubts(scale: Scale, expansion: Expansion, path: Path, count: Count) -> Iterator[Doubt]:
    """Doubts about the claims of an ablation recipe that was read from `path`.

    Claims with the same reason are named together, and so are all whose cells are not run: a part
    of a table would give many of them.
    """
    found = list(_reasons(scale, expansion, path, count))
    testable = [claim for claim, why in found if not why]
    only = {claim.id: _not_run(why) for claim, why in found if claim.id not in scale.untestable}
    absent = _rows(dict.fromkeys(row for rows in only.values() for row in rows))
    reasons: dict[str, list[str]] = {}
    for claim, why in found:
        if why:
            said = NOT_RUN + absent if only.get(claim.id) else why
            reasons.setdefault(said, []).append(claim.id)
    for why, claims in reasons.items():
        yield Doubt(
            "untestable-claim",
            f"claim{'s' if len(claims) > 1 else ''} {', '.join(claims)} cannot be tested at this "
            f"scale: {why}",
        )
    if testable:
        yield from _seeds(scale, testable)


def _within_nothing(claim: Claim, scale: Scale) -> str:
    """Why a claim that cells are alike cannot hold; "" if it can."""
    if isinstance(claim, Plateau) and not design_of(scale).alike(claim.id):
        return "no interval lies within a margin of 0: name the claim's `alike` under `judging`"
    return ""


def _not_run(why: str) -> list[str]:
    """The rows that are not run, where these are the whole reason; else []."""
    parts = why.split("; ")
    whole = all(part.startswith(NOT_RUN) for part in parts)
    return [part.removeprefix(NOT_RUN) for part in parts] if whole else []


def _rows(named: Collection[str]) -> str:
    """Rows as text: the cells together, then the untrained control."""
    cells = [row.removeprefix(CELL) for row in named if row.startswith(CELL)]
    others = [row for row in named if not row.startswith(CELL)]
    together = [f"the cell{'s' if len(cells) > 1 else ''} {', '.join(cells)}"] if cells else []
    return " and ".join([*together, *others])


def power(scale: Scale, expansion: Expansion, path: Path, count: Count) -> tuple[str, ...]:
    """Which differences the seeds can decide, by the scale's assumed `spread`; () without it."""
    if scale.spread is None:
        return ()
    testable = [claim for claim, why in _reasons(scale, expansion, path, count) if not why]
    return tuple(power_lines(testable, design_of(scale), scale.spread))


def _reasons(
    scale: Scale, expansion: Expansion, path: Path, count: Count
) -> Iterator[tuple[Claim, str]]:
    """Each claim, and why this scale cannot test it; "" if it can."""
    ablation, recipes = expansion.ablation, in_table(expansion)
    images = {cell: training_images(recipe.data, count) for cell, recipe in recipes.items()}
    printed = _printed(scale, ablation, recipes, path)
    for claim in (at_scale(claim, recipes) for claim in ablation.claims):
        why = why_untestable(claim, scale, ablation, recipes, images, printed=printed)
        yield claim, why or _within_nothing(claim, scale)


def in_table(expansion: Expansion) -> dict[str, Recipe]:
    """Cell -> recipe, in the order of a report's table: cells, untrained control, given weights."""
    found = {member.cell: member.recipe for member in expansion.members}
    own = [cell.id for cell in expansion.ablation.cells if cell.id in found]
    return {
        cell: found[cell]
        for cell in dict.fromkeys([*own, *([CONTROL] * (CONTROL in found)), *found])
    }


def _printed(
    scale: Scale, ablation: Ablation, recipes: Mapping[str, Recipe], path: Path
) -> dict[str, float]:
    """The printed rows that claims may compare runs with."""
    rows = printed_rows(ablation, scale.metric)
    named = {cell for claim in ablation.claims for _, cell in claim.named()}
    if not rows.keys() & named:
        return {}
    given = {control.id for control in scale.controls}
    own = {c: recipe for c, recipe in recipes.items() if c != CONTROL and c not in given}
    theirs = reference_recipes(ablation, path).recipes
    pairs = [(recipe, theirs[cell]) for cell, recipe in own.items() if cell in theirs]
    trained = list(own.values()) or list(recipes.values())
    known = pairs if len(pairs) == len(own) else []
    return rows if is_papers(scale, ablation, lambda: traits_of(trained, known, ablation)) else {}


def _seeds(scale: Scale, claims: Sequence[Claim]) -> Iterator[Doubt]:
    """Fewer than FEWEST seeds, also with all that may be added, decide next to nothing."""
    design = design_of(scale)
    most = design.analyses[-1]
    if most >= FEWEST:
        return
    level = first_level(claims, design)

    def needed(n: int) -> float:
        return t_quantile(1 - level, n - 1) / math.sqrt(n)

    if most < 2:
        said = "1 seed has no interval, so that no claim will be decided, only looked at"
    else:
        said = (
            f"{most} seeds decide a claim only where a difference is {needed(most):.0f} standard "
            "deviations beyond its threshold"
        )
    yield Doubt(
        "too-few-seeds",
        f"seeds: {said}. {FEWEST} seeds decide it from {needed(FEWEST):.2g} standard deviations "
        f"on, {FEWEST + 2} seeds from {needed(FEWEST + 2):.2g} on (t intervals, alpha "
        f"{design.alpha:g} over {len(comparisons_of(claims, design))} comparisons): name more "
        "seeds, or a second look",
    )
