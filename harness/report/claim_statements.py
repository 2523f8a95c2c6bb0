"""Express a claim as findings about pairs of cells: those that make it true, and those that refute
it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import Literal

from harness.recipe.claims import (
    CONTROL,
    PRETEXT,
    Beats,
    Claim,
    Fails,
    Monotone,
    NotWorse,
    Ordering,
)
from harness.report.comparison import JUDGED, Statement
from harness.report.sequential_design import Design

Finding = Literal["better", "worse", "not better", "not worse"]
"""What an interval shows of `cell` against `over`. Not better: not above by more than `within`."""


@dataclass(frozen=True)
class Criterion:
    """A claim is reproduced if all of `needs` are found; it is not if any of `refuted_by` is."""

    needs: tuple[tuple[Statement, Finding], ...]
    refuted_by: tuple[tuple[Statement, Finding], ...]
    learned: tuple[Statement, ...] = ()
    """Cells against the untrained control: each must be better before the claim is judged."""

    @cached_property
    def compared(self) -> tuple[Statement, ...]:
        """The statements about the claim's own cells, each once."""
        return tuple(dict.fromkeys(stated for stated, _ in (*self.needs, *self.refuted_by)))

    @cached_property
    def all(self) -> tuple[Statement, ...]:
        """Every statement that the verdict depends on, each once."""
        return tuple(dict.fromkeys((*self.compared, *self.learned)))


def criterion(claim: Claim, design: Design) -> Criterion:
    """What must be found for the claim to be reproduced, and what refutes it."""
    needs, refuted_by = _findings(claim, design)
    return Criterion(tuple(needs), tuple(refuted_by), tuple(_learned(claim, design)))


Findings = list[tuple[Statement, Finding]]


def _findings(claim: Claim, design: Design) -> tuple[Findings, Findings]:
    better, alike = design.better(claim.id), design.alike(claim.id)
    welch = design.welch(claim.id)

    def stated(cell: str, over: str, better: float, within: float) -> Statement:
        return Statement(cell, over, better, within, _measure(claim, design), welch)

    if isinstance(claim, Fails):
        it = stated(claim.cell, CONTROL, alike, alike)
        return [(it, "not better")], [(it, "better")]
    if isinstance(claim, Beats):
        it = stated(claim.cell, claim.over, better, alike)
        return [(it, "better")], [(it, "not better")]
    if isinstance(claim, NotWorse):
        it = stated(claim.cell, claim.over, alike, alike)
        return [(it, "not worse")], [(it, "worse")]
    if isinstance(claim, Ordering):
        steps = [stated(one, other, 0.0, 0.0) for one, other in pairwise(claim.cells)]
        return [(step, "better") for step in steps], [(step, "not better") for step in steps]
    if isinstance(claim, Monotone):
        steps = [stated(later, first, alike, alike) for first, later in pairwise(claim.cells)]
        rise = stated(claim.cells[-1], claim.cells[0], better, alike)
        return (
            [*((step, "not worse") for step in steps), (rise, "better")],
            [*((step, "worse") for step in steps), (rise, "not better")],
        )
    pairs = [stated(a, b, alike, alike) for a, b in combinations(claim.cells, 2)]
    return (
        [(pair, found) for pair in pairs for found in ("not better", "not worse")],
        [(pair, found) for pair in pairs for found in ("better", "worse")],
    )


def _learned(claim: Claim, design: Design) -> Iterator[Statement]:
    better, alike = design.better(claim.id), design.alike(claim.id)
    measure = _measure(claim, design)
    for cell in must_learn(claim, design):
        by = JUDGED if measure == PRETEXT else measure
        yield Statement(cell, CONTROL, better, alike, by)


def must_learn(claim: Claim, design: Design) -> list[str]:
    """The cells that must be above the untrained control before the claim can be judged.

    A cell that the claim says fails may have any low value.
    """
    if isinstance(claim, Fails) or not design.accuracy:
        return []
    may_fail = claim.may_fail if isinstance(claim, Beats | NotWorse) else ()
    cells = [cell for _, cell in claim.named()]
    if isinstance(claim, Beats | NotWorse) and CONTROL in cells:
        return []
    return [cell for cell in cells if cell != CONTROL and cell not in may_fail]


def _measure(claim: Claim, design: Design) -> str:
    own = claim.metric if isinstance(claim, Beats | NotWorse) else None
    return JUDGED if own in (None, design.metric) else str(own)


def sides(claim: Claim, design: Design) -> list[tuple[str, str]]:
    """Every (metric, cell) that the claim's verdict depends on. The control comes last, if cells
    must be above it."""
    found = criterion(claim, design)
    own = [side for stated in found.compared for side in stated.sides()]
    others = [stated.sides()[0] for stated in found.learned]
    control = [stated.sides()[1] for stated in found.learned]
    return list(dict.fromkeys([*own, *others, *control]))


def at_scale(claim: Claim, cells: Collection[str]) -> Claim:
    """The claim about those of its cells that a scale runs: of a monotone claim two are enough."""
    if not isinstance(claim, Monotone):
        return claim
    run = tuple(cell for cell in claim.cells if cell in cells)
    return claim.model_copy(update={"cells": run}) if len(run) > 1 else claim
