"""Ablations: what a paper varied and printed (`ablations/`), or what you vary; and the scale at
which it is run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from harness.recipe.claims import CONTROL as CONTROL
from harness.recipe.claims import PRETEXT, Claim
from harness.recipe.judging import Judging, Look, Points, complaints
from harness.recipe.schema import About, Target
from harness.recipe.section import Name, Section, refuse
from harness.spec.registry import task_of

if TYPE_CHECKING:
    Metric = str
else:
    Metric = Literal[*task_of(), "cost/memory", "cost/hours"]
"""A metric that a task reports. Memory: GB, the peak of one process's device. Hours: of 200
epochs."""

Number = float | Literal["fail"] | None
"""A number as the paper printed it; null: the paper printed none."""

Confidence = Literal["read", "secondary", "memory"]
"""read: in the paper itself; secondary: in another text about it; memory: from memory, not
checked."""

Level = Literal["paper", "cifar10", "cpu", "quick"]


class Cell(Section):
    """One row of the paper's table."""

    id: Name
    """untrained: the row of the random network, which the scale's control fills."""
    label: str
    """The row's label in the table's first column."""
    set: dict[str, Any] | None
    """The fields that this cell changes: dotted recipe field -> value; null: a printed row of
    another method, which is not run."""
    printed: Number = None
    """The paper's number; in the file, `block.key` of printed.yaml."""
    printed_runs: tuple[float, ...] = ()
    """The single runs behind a printed mean; filled in from printed.yaml."""
    series: str = ""
    """The curve's name in the figure's legend; "" if there is no figure."""
    x: float | None = None
    """Its position on the figure's axis."""


class Column(Section):
    """A printed column besides the table's metric: filled by another metric, not yet filled, or
    only a fact about the rows."""

    label: str
    numbers: Name
    """Block of printed.yaml."""
    rows: dict[Name, str] = {}
    """Cell id -> its key in the block; {}: the key of the cell's own printed number, else its id.
    """
    metric: Metric | None = None
    """The metric that fills it from our runs; null: none."""
    awaits: str = ""
    """What the harness still lacks to fill it, e.g. detection."""
    units: str = ""
    """Filled in from printed.yaml, like the values."""
    values: dict[str, Number] = {}
    """Cell id -> number."""

    @model_validator(mode="after")
    def _filled_or_to_come(self) -> Column:
        if self.metric is not None and self.awaits:
            refuse([("awaits", f"leave it out: {self.metric} fills the column already")])
        return self


class Curve(Section):
    """A printed curve of one cell over epochs."""

    cell: Name
    metric: Literal["knn/top1", "pretext/top1", "train/loss"]
    numbers: Name
    """Block of printed.yaml; its keys are epochs."""
    points: tuple[tuple[float, float], ...] = ()
    """(epoch, value); filled in from printed.yaml."""


class Figure(Section):
    """Cells drawn as series over an axis: each cell has its `series` and `x`."""

    x: str
    """The axis as text."""
    reads: Literal["negatives", "temperature", "epochs"]
    """The property of a recipe on the axis. The paper's point is at the cell's own `x`, ours at
    this value of the recipe."""
    log: bool = False
    """Whether the axis is logarithmic, to the base 2."""


class Ablation(Section):
    """What is varied: the axis, the cells, the claims; of a paper's table also its numbers. The
    same for every scale."""

    name: Name
    title: str
    numbers: Name | None = None
    """The table's block of printed.yaml, with its paper, setting, source, confidence and metric."""
    paper: str = ""
    """Paper and place in it; "": an ablation of your own, without printed numbers."""
    setting: str = ""
    """What the paper's numbers were measured on."""
    source: str = ""
    """Where the printed numbers were read."""
    confidence: Confidence | None = None
    uncertainty: float = 0.0
    """Points by which a printed number may be off because it was read off a drawn curve."""
    metric: Metric | None = None
    """What the paper printed."""
    variant_of: Name | None = None
    """The ablation of the paper's own cells, if this one has others of the same table."""
    printed_at: Literal["paper", "cifar10"] = "paper"
    """The level at which the numbers were printed."""
    printed_epochs: Annotated[int, Field(ge=1)] | None = 200
    """Epochs of pre-training behind the printed numbers, the fewest of a row; null: they do not
    depend on it."""
    axis: str
    """Heading of the first column. Several headings are separated by commas, as in the labels."""
    shape: Literal["down", "across", "grid"] = "down"
    """Layout of the paper's table: one row per cell; one column per cell; or one row per series
    with one column per x."""
    figure: Figure | None = None
    cells: Annotated[tuple[Cell, ...], Field(min_length=1)]
    columns: tuple[Column, ...] = ()
    curves: tuple[Curve, ...] = ()
    claims: tuple[Claim, ...] = ()
    no_scale: dict[Level, str] = {}
    """Level -> why there is no ablation recipe for it."""

    @model_validator(mode="after")
    def _consistent(self) -> Ablation:
        refuse(self._contradictions())
        return self

    @property
    def of_paper(self) -> bool:
        """Whether it is a paper's table, with printed numbers."""
        return bool(self.paper)

    def cell(self, cell_id: str) -> Cell | None:
        return next((cell for cell in self.cells if cell.id == cell_id), None)

    def _of_the_paper(self) -> Iterator[tuple[str, str]]:
        """Complaints about what a paper's table lacks, or what only a paper's table has."""
        said = self.model_fields_set
        if not self.of_paper:
            whose = "is a paper's: name the paper with `paper:` or `numbers:`, or leave it out"
            for field in ("setting", "source", "confidence", "metric", "columns", "curves"):
                if getattr(self, field):
                    yield field, whose
            for n, cell in enumerate(self.cells):
                if cell.printed is not None:
                    yield f"cells.{n}.printed", f"a printed number {whose}"
            return
        for field in ("setting", "source", "confidence", "metric", "claims"):
            if field not in said:
                yield field, "missing field of a paper's table"
        for n, cell in enumerate(self.cells):
            if "printed" not in cell.model_fields_set:
                yield f"cells.{n}.printed", "missing: the paper's number, or null if it has none"

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        yield from self._of_the_paper()
        ids = [cell.id for cell in self.cells]
        for n, cell in enumerate(self.cells):
            if cell.id in ids[:n]:
                yield f"cells.{n}.id", f"{cell.id} is listed twice: keep one"
            if cell.id == CONTROL:
                yield from _of_the_control(f"cells.{n}.set", cell.set)
            if self.shape == "grid" and (self.figure is None or not cell.series or cell.x is None):
                why = "a grid needs a figure, and every cell's series and x"
                yield f"cells.{n}.{'x' if cell.series else 'series'}", why
            if self.figure is not None and cell.set is not None and cell.x is None:
                yield f"cells.{n}.x", "missing: the cell's value on the figure's axis"
        claims = [claim.id for claim in self.claims]
        known = f"use one of {', '.join(ids)}"
        for n, claim in enumerate(self.claims):
            if claim.id in claims[:n]:
                yield f"claims.{n}.id", f"{claim.id} is listed twice: keep one"
            metric = getattr(claim, "metric", None)
            if metric is not None and metric not in (*task_of(), PRETEXT):
                known_metrics = ", ".join((*task_of(), PRETEXT))
                yield f"claims.{n}.metric", f"no metric {metric}; use one of {known_metrics}"
            for field, name in claim.named():
                if name not in [*ids, CONTROL]:
                    yield f"claims.{n}.{field}", f"no cell with the id {name}; {known}"
        for n, curve in enumerate(self.curves):
            if curve.cell not in ids:
                yield f"curves.{n}.cell", f"no cell with the id {curve.cell}; {known}"
        for n, column in enumerate(self.columns):
            for name in column.values:
                if name not in ids:
                    yield (
                        f"columns.{n}.numbers",
                        f"{column.numbers} has a number for {name}, which is not a cell; {known}",
                    )


def _of_the_control(where: str, changes: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Complaints about the `set` of the control's row."""
    if changes is None:
        yield where, f"{CONTROL} is the scale's control, which is run: say set: {{}}"
    for field in changes or ():
        if not field.startswith("tasks."):
            yield (
                where,
                f"{field}: {CONTROL} has random weights; it may change fields of tasks only",
            )


class Tuning(Section):
    """Runs that chose a scale's settings; no result may rest on their seeds."""

    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    what: Annotated[str, Field(min_length=1)]
    """What was tried, and which settings were chosen."""


class Control(Section):
    """Given weights that are evaluated beside a table's cells."""

    id: Name
    """A new id, or the id of a printed row that has no runs; the control then fills that row."""
    label: Annotated[str, Field(min_length=1)]
    recipe: str
    """A recipe with model.weights and optim.epochs 0, relative to the ablation recipe."""


class Scale(Section):
    """An ablation recipe: one ablation at one scale with given seeds. What `run` runs."""

    name: Name
    ablation: Name
    """A file of ablations/, without .yaml; or, in the file, the ablation itself."""
    recipe: str
    """The recipe that every cell changes: a path relative to this file, or a shipped one's name;
    or, in the file, the recipe itself."""
    level: Level | None = None
    """paper: as printed; cifar10: one GPU; cpu: CIFAR-10 images; quick: embedded images;
    null: your own scale, never treated as the paper's."""
    set: dict[str, Any] = {}
    """Dotted recipe field -> value, for all cells."""
    set_cells: dict[Name, dict[str, Any]] = {}
    """Cell id -> further changes at this scale (e.g. another K); the table shows them."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    max_seeds: Annotated[int, Field(ge=1)] | None = None
    """Most seeds for --seeds-until-decided, with several analyses that share alpha equally; null:
    only `seeds`, or as many as `looks` say."""
    looks: tuple[Look, ...] = ()
    """The analyses, two at most, in place of `max_seeds`: seeds, and alpha spent. (): one analysis
    of `seeds`."""
    tuned_on: tuple[Tuning, ...] = ()
    """Every tuning run behind this scale's settings."""
    cells: tuple[Name, ...] | None = None
    """The cells to run; null: all of the ablation's that can be run."""
    control: bool = True
    """Also evaluate the untrained network, with the same seeds."""
    controls: tuple[Control, ...] = ()
    """Given weights (released, supervised) that are evaluated too, with the same seeds. From
    `set` they take data, precision and evaluation."""
    metric: Metric
    """The metric that this scale's claims are judged by."""
    margin: Points | None = None
    """Points by which a difference must exceed zero to count, and within which cells are alike,
    fixed before the first run; null: 0 for better and 1.5 for alike."""
    judging: dict[str, Judging] = {}
    """Claim id -> its own margins and test."""
    spread: Annotated[float, Field(gt=0)] | None = None
    """Assumed standard deviation over seeds of a difference, in points; `plan` then says which
    differences the seeds can decide."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Probability of any wrong verdict in the whole table, fixed before the first run."""
    untestable: dict[str, str] = {}
    """Claim id -> why this scale cannot judge it."""
    discussion: tuple[Annotated[str, Field(min_length=1, max_length=400)], ...] = ()
    """Possible reasons for verdicts that differ from the paper's, in short paragraphs."""
    targets: dict[str, tuple[Target, ...]] = {}
    """Cell id -> accuracies that `check` expects."""
    hours: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Cell id -> hours of one run, if they differ from `about.cost`."""
    about: About = About()

    @property
    def most_seeds(self) -> int:
        """The most seeds that a cell may have, with those added to decide claims."""
        return self.looks[-1].seeds if self.looks else self.max_seeds or len(self.seeds)

    @model_validator(mode="after")
    def _consistent(self) -> Scale:
        refuse(self._contradictions())
        return self

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        if len(set(self.seeds)) != len(self.seeds):
            yield "seeds", "a seed is listed twice: keep one"
        if self.cells is not None and not self.cells:
            yield "cells", "name at least one cell, or leave it out to run all cells"
        if self.max_seeds is not None and self.max_seeds < len(self.seeds):
            why = (
                f"{self.max_seeds} is less than the number of `seeds`, {len(self.seeds)}: raise it"
            )
            yield "max_seeds", why
        yield from complaints(self.looks, len(self.seeds), self.max_seeds, self.alpha)
        tuned = {seed for tuning in self.tuned_on for seed in tuning.seeds}
        if both := sorted(tuned.intersection(self.seeds)):
            shown = ", ".join(map(str, both))
            yield "seeds", f"{shown} used for tuning (`tuned_on`): choose other seeds for a result"
