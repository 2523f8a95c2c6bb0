"""How often any verdict of a table is false, by simulation of the product's own decisions.

Each table is the worst case: every true difference lies at the margin where its verdict is easiest
to be wrong about. Spreads are 5 to 1, one cell diverges in half of its seeds, one has learned
nothing, and undecided claims get more seeds for a second analysis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest

from harness.recipe.claims import CONTROL
from harness.recipe.judging import Judging
from harness.report import decision_rule
from harness.report.claim_statements import Finding, sides
from harness.report.comparison import JUDGED, Scores, Statement
from harness.report.decision_rule import Decision, decide_claims
from harness.report.sequential_design import Design
from harness.report.statistics import Step
from report.scores import claim

MARGIN = 1.5

CLAIMS = [
    claim("fails", name="fails", cell="zero"),
    claim("beats", name="equal", cell="b", over="a"),
    claim("beats", name="equal-too", cell="c", over="a"),
    claim("plateau", name="apart", cells=["b", "d"]),
    claim("not_worse", name="worse", cell="e", over="a"),
    claim("monotone", name="falls", cells=["a", "e", "c"]),
    claim("beats", name="over-nothing", cell="a", over="nothing"),
    claim("beats", name="learns", cell="nothing", over=CONTROL),
    claim("beats", name="diverges", cell="sick", over="a"),
    claim("plateau", name="diverges-too", cells=["a", "sick"]),
]
MEANS = {
    CONTROL: 20.0,
    "nothing": 20.0,
    "zero": 20.0 + MARGIN,
    "a": 40.0,
    "b": 40.0,
    "c": 40.0,
    "d": 40.0 + MARGIN,
    "e": 40.0 - MARGIN,
    "sick": 40.0,
}
WIDE = ("b", "nothing", "e")
"""Cells whose spread is five times the others'."""

DESIGN = Design(
    None, 0.05, tuple(range(10)), (6, 10), spending=(0.02, 0.03),
    judging={each.id: Judging(alike=MARGIN) for each in CLAIMS},
)  # fmt: skip
UNPAIRED = replace(
    DESIGN, judging={each.id: Judging(alike=MARGIN, test="welch") for each in CLAIMS}
)

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]


def normal(chance: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return chance.standard_normal(shape)


def heavy(chance: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return chance.standard_t(3, shape)


@dataclass(frozen=True)
class Tables:
    """How tables are drawn and judged."""

    draw: Draw
    design: Design
    common: float
    """Spread of what all cells of a seed share."""

    def wrong(self, tables: int, seed: int = 0) -> int:
        """In how many of so many tables anything is false that they say."""
        chance = np.random.default_rng(seed)
        seeds, cells = len(self.design.seeds), list(MEANS)
        spread = np.array([[5.0 if cell in WIDE else 1.0] for cell in cells])
        middle = np.array([[MEANS[cell]] for cell in cells])
        count = 0
        for _ in range(tables):
            shared = self.common * self.draw(chance, (1, seeds))
            values = middle + shared + spread * self.draw(chance, (len(cells), seeds))
            ill = chance.random(seeds) < 0.5
            found: dict[tuple[str, str], dict[int, float | None]] = {
                (JUDGED, cell): dict(enumerate(row))
                for cell, row in zip(cells, values.tolist(), strict=True)
            }
            found[JUDGED, "sick"].update({int(n): None for n in np.flatnonzero(ill)})
            count += any(map(false, self.judged(found)))
        return count

    def judged(self, found: Scores) -> list[Decision]:
        """The decisions after the first look and, with more seeds for the cells of undecided
        claims, after the second."""
        first = self.design.analyses[0]
        early = {side: {n: v for n, v in of.items() if n < first} for side, of in found.items()}
        decisions = decide_claims(CLAIMS, early, self.design)
        for each, decision in zip(CLAIMS, decisions, strict=True):
            if decision.conclusion == "undecided":
                early |= {side: dict(found[side]) for side in sides(each, self.design)}
        return decide_claims(CLAIMS, early, self.design)


def false(decision: Decision) -> bool:
    """Whether the decision, or anything that was found for it, is false."""
    return any(
        untrue(stated, finding)
        for stated, bounded in decision.evidence.items()
        for finding in bounded.found
    )


def untrue(stated: Statement, finding: Finding) -> bool:
    """Whether the finding is false of the true means. One that lies at its margin counts as
    false."""
    if "sick" in (stated.cell, stated.over):  # half of its seeds diverge: it loses
        return finding in (
            ("better", "not worse") if stated.cell == "sick" else ("worse", "not better")
        )
    difference = MEANS[stated.cell] - MEANS[stated.over]
    return {
        "better": difference <= stated.better,
        "worse": difference >= -stated.better,
        "not better": difference >= stated.within,
        "not worse": difference <= -stated.within,
    }[finding]


SETTINGS = {
    "normal, paired": Tables(normal, DESIGN, 3.0),
    "normal, independent": Tables(normal, UNPAIRED, 0.0),
    "heavy tails, paired": Tables(heavy, DESIGN, 3.0),
    "heavy tails, independent": Tables(heavy, UNPAIRED, 0.0),
}


def most(tables: int) -> float:
    """So many false tables are possible at a true rate of alpha: plus three standard errors."""
    alpha = DESIGN.alpha
    return tables * alpha + 3 * math.sqrt(tables * alpha * (1 - alpha))


def test_few_tables_say_anything_false() -> None:
    """A sample of what the slow test below measures."""
    tables = 100
    assert sum(each.wrong(tables) for each in SETTINGS.values()) <= most(tables * len(SETTINGS))


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_of_20000_tables_few_say_anything_false(name: str) -> None:
    tables = 20_000 // len(SETTINGS)
    wrong = SETTINGS[name].wrong(tables, seed=1)
    print(f"{name}: {wrong} of {tables} tables, {100 * wrong / tables:.2f} %")
    assert wrong <= most(tables)


def test_without_correction_there_would_be_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """That the simulation can fail."""

    def uncorrected(p_values: Sequence[float], level: float) -> list[Step]:
        return [Step(p <= level, level) for p in p_values]

    monkeypatch.setattr(decision_rule, "holm", uncorrected)
    assert SETTINGS["normal, paired"].wrong(100) > most(100)


def test_an_analysis_that_spends_all_of_alpha_twice_would_be_wrong_more_often() -> None:
    greedy = replace(DESIGN, spending=(0.5, 0.5))
    assert replace(SETTINGS["normal, paired"], design=greedy).wrong(100) > most(100)
