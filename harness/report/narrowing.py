"""What it would cost to narrow the interval of an undecided claim to its margin."""

from __future__ import annotations

import math
from collections.abc import Iterable

from harness.report.cost import Cost, costs
from harness.report.decision_rule import Bounded, Decision
from harness.report.evidence import unit
from harness.report.runs import Run
from harness.report.sequential_design import Design
from harness.report.statistics import seeds_for_width

MANY = 100
"""Largest number of seeds that is told, if the scale plans no number itself."""


def needed(decision: Decision, design: Design) -> int | None:
    """About how many seeds make the interval as narrow as the margin, by the deviation so far. If
    several analyses are planned, it is the size of the first one with enough seeds.

    `furthest(design)` + 1: more than that. None: decided, without a deviation or a margin, or
    narrow enough already.
    """
    if decision.conclusion != "undecided" or decision.seeds < 2:
        return None
    most = furthest(design)
    counts = [_needed(each, most) for each in decision.unlearned or [decision.decisive()]]
    found = max((n for n in counts if n is not None), default=None)
    if found is None:
        return None
    planned = design.analyses if len(design.analyses) > 1 else ()
    return next((size for size in planned if size >= found > decision.seeds), found)


def _needed(found: Bounded, most: int) -> int | None:
    stated, estimate = found.comparison.statement, found.comparison.estimate
    level = min(filter(None, found.levels), default=0.0)
    if estimate is None or not estimate.error or not stated.within or not level:
        return None
    if estimate.reach(level) <= stated.within:
        return None
    sd = estimate.error * math.sqrt(len(found.comparison.ours))
    return seeds_for_width(stated.within, sd, level, most) or most + 1


def furthest(design: Design) -> int:
    """Largest number that is told: the most seeds planned, or a number far beyond practice."""
    return design.analyses[-1] if len(design.analyses) > 1 else MANY


def narrowing_text(
    needs: int | None, decision: Decision, design: Design, runs: Iterable[Run]
) -> str:
    """E.g. "About 14 seeds would narrow it to ±1.5: 8 more of 3 cells, 1.2 CPU-hours"; "" without
    `needs`.

    Args:
        needs: as `needed` says.
        runs: of all cells that the claim uses.
    """
    if needs is None:
        return ""
    of = decision.unlearned[0] if decision.unlearned else decision.decisive()
    stated = of.comparison.statement
    aim = f"narrow it to ±{stated.within:g} {unit(stated, design)}"
    if needs > furthest(design):
        return f"It would take more than {furthest(design)} seeds to {aim}"
    by_cell: dict[str, list[Run]] = {}
    for run in runs:
        by_cell.setdefault(run.cell, []).append(run)
    more = needs - decision.seeds
    by_device: dict[str, float] = {}
    for of_cell in by_cell.values():
        for cost in costs(of_cell):
            each = cost.hours / sum(any(s.seconds for s in run.stages.values()) for run in of_cell)
            by_device[cost.device] = by_device.get(cost.device, 0.0) + each * more
    hours = [Cost(device, much).words for device, much in by_device.items()]
    spent = ", ".join(hours) or "whose cost was not measured"
    cells = f"{len(by_cell)} cell{'s' if len(by_cell) != 1 else ''}"
    said = f"About {needs} seeds would {aim}: {more} more of {cells}, {spent}"
    if decision.seeds < design.analyses[-1]:
        return said
    return f"{said}, in a table of its own: no further look is planned here"
