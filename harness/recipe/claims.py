"""The kinds of claims that a table can make; `harness.report.claims` judges them.

Each kind is a statement about differences between cells, in points of the scale's metric. The
margins are the scale's (`harness.recipe.judging`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.recipe.section import Name, Section, refuse

CONTROL = "untrained"
"""The extra cell of every table: the untrained network, at its initial weights."""

PRETEXT = "pretext/top1"
"""Accuracy of the pretext task at the end of training, measured by pre-training itself."""

By = Literal["paper", "read_off", "ours"]
"""paper: the text says it; read_off: only the paper's numbers show it; ours: our own check."""


class _Statement(Section):
    """The fields of every claim."""

    id: Name
    by: By = "paper"
    says: str
    """The statement, in our words."""
    control_too: ClassVar[bool] = False
    """Whether the untrained control may be one of the cells."""

    @model_validator(mode="after")
    def _sensible(self) -> _Statement:
        refuse(self._contradictions())
        return self

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        seen: list[str] = []
        for field, cell in self.named():
            if cell in seen:
                yield field, f"{cell} is listed twice in one claim"
            elif cell == CONTROL and not self.control_too:
                yield field, f"{CONTROL} is the control; name a cell of the table"
            seen.append(cell)

    def named(self) -> list[tuple[str, str]]:
        """(dotted field of the claim, cell) of every cell that the claim names, in its order."""
        raise NotImplementedError


class _One(_Statement):
    cell: Name

    def named(self) -> list[tuple[str, str]]:
        return [("cell", self.cell)]


class _Two(_One):
    over: Name

    def named(self) -> list[tuple[str, str]]:
        return [*super().named(), ("over", self.over)]


class _Several(_Statement):
    cells: Annotated[tuple[Name, ...], Field(min_length=2)]

    def named(self) -> list[tuple[str, str]]:
        return [(f"cells.{n}", cell) for n, cell in enumerate(self.cells)]


class Fails(_One):
    """The cell is not above the untrained control by more than the margin."""

    kind: Literal["fails"]


class _Compared(_Two):
    """A comparison of two cells by the scale's metric, or by another one."""

    metric: str | None = None
    """The metric to compare by, e.g. pretext/top1; null: the scale's."""
    may_fail: tuple[Name, ...] = ()
    """Which of the two cells need not be above the untrained network, as their failure would be
    part of the claim."""
    control_too = True

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super()._contradictions()
        for n, cell in enumerate(self.may_fail):
            if cell not in (self.cell, self.over):
                why = f"{cell} is not compared; use {self.cell} or {self.over}"
                yield f"may_fail.{n}", why
        if self.metric == PRETEXT and CONTROL in (self.cell, self.over):
            yield "metric", f"{CONTROL} has no pretext accuracy: compare with a trained cell"


class Beats(_Compared):
    """The cell is above another one (or above the untrained control) by more than the margin."""

    kind: Literal["beats"]


class NotWorse(_Compared):
    """The cell is not below another one by more than the margin: it may be alike, or above."""

    kind: Literal["not_worse"]


class Ordering(_Several):
    """Each cell is above the next one, by any difference: best first."""

    kind: Literal["ordering"]
    control_too = True


class Monotone(_Several):
    """The value never falls by more than the margin from one cell to the next, and the last cell is
    above the first."""

    kind: Literal["monotone"]


class Plateau(_Several):
    """Any two of the cells are alike: within the margin of each other."""

    kind: Literal["plateau"]


Claim = Annotated[
    Fails | Beats | NotWorse | Ordering | Monotone | Plateau, Field(discriminator="kind")
]
