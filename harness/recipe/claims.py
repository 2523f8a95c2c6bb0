"""A small vocabulary for what a table claims; `harness.report.claims` judges it.

Each kind is a statement about differences between cells, in points of the scale's metric. The
margin is the scale's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.recipe.section import Name, Section, refuse

CONTROL = "untrained"
"""The cell that every table has besides the paper's: the network at its initial weights."""


By = Literal["paper", "read_off", "ours"]
"""paper: it says so; read_off: its numbers do, its text does not; ours: a check of our own."""


class _Statement(Section):
    """What every claim has."""

    id: Name
    by: By = "paper"
    says: str
    """The statement, in our words."""
    control_too: ClassVar[bool] = False
    """Whether the untrained control may stand among the cells."""

    @model_validator(mode="after")
    def _sensible(self) -> _Statement:
        refuse(self._contradictions())
        return self

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        seen: list[str] = []
        for field, cell in self.named():
            if cell in seen:
                yield field, f"{cell} stands twice in one claim"
            elif cell == CONTROL and not self.control_too:
                yield field, f"{CONTROL} is the control; name cells of the table"
            seen.append(cell)

    def named(self) -> list[tuple[str, str]]:
        """(dotted field of the claim, cell) of every cell that it names, in its order."""
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


class Beats(_Two):
    """The cell is above another one (or above the untrained control) by more than the margin."""

    kind: Literal["beats"]
    control_too = True


class Ordering(_Several):
    """Each cell is above the next one, by however little: best first."""

    kind: Literal["ordering"]
    control_too = True


class Monotone(_Several):
    """From one cell to the next it never falls by more than the margin, and the last cell is above
    the first by more than the margin."""

    kind: Literal["monotone"]


class Plateau(_Several):
    """Any two of the cells are within the margin of each other."""

    kind: Literal["plateau"]


class Leak(_Two):
    """The pretext accuracy of the cell is above that of the other one, and its kNN accuracy below,
    each by more than the margin (v1 Fig. A.1: a pretext task solved by cheating)."""

    kind: Literal["leak"]


Claim = Annotated[Fails | Beats | Ordering | Monotone | Plateau | Leak, Field(discriminator="kind")]
