"""The kinds of claims that a table can make; `harness.report.claims` judges them.

Each kind is a statement about differences between cells, in points of the claim's metric: the
scale's, unless the claim names another. The margin is the scale's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.recipe.section import Name, Section, refuse
from harness.spec.registry import task_of

if TYPE_CHECKING:
    Accuracy = str
else:
    Accuracy = Literal[*task_of()]
"""A metric that a task reports, in percent."""

CONTROL = "untrained"
"""The extra cell of every table: the untrained network, at its initial weights."""


By = Literal["paper", "read_off", "ours"]
"""paper: the text says it; read_off: only the paper's numbers show it; ours: our own check."""


class _Statement(Section):
    """The fields of every claim."""

    id: Name
    by: By = "paper"
    says: str
    """The statement, in our words."""
    metric: Accuracy | None = None
    """The metric of which it is a statement; null: the scale's."""
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


class Beats(_Two):
    """The cell is above another one (or above the untrained control) by more than the margin."""

    kind: Literal["beats"]
    control_too = True


class Ordering(_Several):
    """Each cell is above the next one, by any difference: best first."""

    kind: Literal["ordering"]
    control_too = True


class Monotone(_Several):
    """The value never falls by more than the margin from one cell to the next, and the last cell is
    above the first by more than the margin."""

    kind: Literal["monotone"]


class Plateau(_Several):
    """Any two of the cells are within the margin of each other."""

    kind: Literal["plateau"]


class Leak(_Two):
    """The pretext accuracy of the cell is above that of the other one, and its kNN accuracy below,
    each by more than the margin (v1 Fig. A.1: a pretext task solved by cheating)."""

    kind: Literal["leak"]

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        yield from super()._contradictions()
        if self.metric is not None:
            yield "metric", "remove it: a leak is one of pretext and kNN accuracy"


Claim = Annotated[Fails | Beats | Ordering | Monotone | Plateau | Leak, Field(discriminator="kind")]
