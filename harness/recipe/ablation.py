"""Ablations: what a paper varied and printed (`ablations/`), and at which scale we repeat it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from harness.recipe.schema import About, Target
from harness.recipe.section import Name, Section, refuse

Metric = Literal["knn/top1", "linear/top1"]


class Cell(Section):
    """One row of the paper's table."""

    id: Name
    label: str
    """As it stands in the table's first column."""
    set: dict[str, Any]
    """What this cell changes: dotted recipe field -> value."""
    printed: float | Literal["fail"] | None
    """The paper's number, in percent; null where it printed none."""


class Fails(Section):
    """The cell is not above the untrained control by more than the scale's margin."""

    kind: Literal["fails"]
    id: Name
    cell: Name
    says: str
    """The paper's statement, in our words."""


class Beats(Section):
    """The cell is above another one (or above the untrained control) by more than the margin."""

    kind: Literal["beats"]
    id: Name
    cell: Name
    over: Name
    says: str


Claim = Annotated[Fails | Beats, Field(discriminator="kind")]

CONTROL = "untrained"
"""The cell that every table has besides the paper's: the network at its initial weights."""


class Ablation(Section):
    """A table of a paper: its axis, its numbers, its claims. The same for every scale."""

    name: Name
    title: str
    paper: str
    """Paper and place in it."""
    setting: str
    """What the paper's numbers were measured on."""
    source: str
    """Where the printed numbers were read."""
    confidence: Literal["read", "secondary", "memory"]
    metric: Metric
    """What the paper printed."""
    axis: str
    """Heading of the first column."""
    cells: Annotated[tuple[Cell, ...], Field(min_length=1)]
    claims: tuple[Claim, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Ablation:
        refuse(self._contradictions())
        return self

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        ids = [cell.id for cell in self.cells]
        for n, cell_id in enumerate(ids):
            if cell_id in ids[:n]:
                yield f"cells.{n}.id", f"{cell_id} stands twice"
            if cell_id == CONTROL:
                yield f"cells.{n}.id", f"{CONTROL} is reserved for the control"
        claims = [claim.id for claim in self.claims]
        for n, claim in enumerate(self.claims):
            if claim.id in claims[:n]:
                yield f"claims.{n}.id", f"{claim.id} stands twice"
            for field in ("cell", "over"):
                name = getattr(claim, field, CONTROL)
                if name not in [*ids, CONTROL]:
                    yield (
                        f"claims.{n}.{field}",
                        f"no cell is called {name}; there are {', '.join(ids)}",
                    )


class Scale(Section):
    """An ablation recipe: one ablation at one scale with given seeds. What `run` runs."""

    name: Name
    ablation: Name
    """A file of ablations/, without .yaml."""
    recipe: str
    """The recipe that every cell changes, relative to this file."""
    set: dict[str, Any] = {}
    """Dotted recipe field -> value, for all cells."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    cells: tuple[Name, ...] | None = None
    """The cells to run; null: all of the ablation's."""
    control: bool = True
    """Also evaluate the untrained network, with the same seeds."""
    metric: Metric
    """What this scale measures in place of the paper's metric."""
    margin: Annotated[float, Field(ge=0)] = 2.0
    """Points by which a difference must exceed zero to count, fixed before the first run."""
    untestable: dict[str, str] = {}
    """Claim id -> why this scale cannot judge it."""
    targets: dict[str, tuple[Target, ...]] = {}
    """Cell id -> accuracies that `check` expects."""
    about: About = About()

    @model_validator(mode="after")
    def _consistent(self) -> Scale:
        if len(set(self.seeds)) != len(self.seeds):
            refuse([("seeds", "a seed stands twice")])
        if self.cells is not None and not self.cells:
            refuse([("cells", "name at least one cell, or leave it out for all of them")])
        return self
