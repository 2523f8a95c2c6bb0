"""The one table model: columns that declare themselves, and cells that keep what they stand for.

Every table of a report is a `Table`. Markdown, HTML, LaTeX, CSV, JSON and the terminal are made
from it; the words for a cell are in `harness.report.table_text`, and nothing reads words back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from harness.recipe.ablation import Metric, Number
from harness.report.evaluation_protocol import Protocol
from harness.report.runs import Standing
from harness.report.statistics import Summary
from harness.spec.declarations import Better

Tone = Literal["plain", "good", "bad", "unsure", "quiet", "code"]
"""How a piece of text is to be seen; a formatter may ignore it, the words say it too."""

Kind = Literal[
    "label", "printed", "printed beside", "measured", "to the paper", "to untrained", "other"
]
"""What a column is: the row's name; the paper's numbers; what the paper prints beside them; ours;
ours minus the paper's; ours minus the untrained network's; or anything else."""


@dataclass(frozen=True)
class Text:
    """A piece of text; lines are kept."""

    text: str
    tone: Tone = "plain"
    target: str = ""
    """Anchor in the same page that it leads to."""


@dataclass(frozen=True)
class Label:
    """A row's name."""

    text: str
    changed: str = ""
    """What this scale changes in the cell, as "optim.epochs = 3"."""
    weights: tuple[str, ...] = ()
    """A line for each file of weights that its runs began with, with its digest."""


@dataclass(frozen=True)
class Printed:
    """A number as the paper printed it."""

    number: Number
    approximate: bool = False
    """It was read off a drawn curve."""
    runs: Summary | None = None
    """Of the single runs behind it, where the paper printed them."""


@dataclass(frozen=True)
class SeedValue:
    """One seed's outcome for one metric, held against what the table's values must share."""

    seed: int
    standing: Standing | Literal["stale"]
    value: float | None
    detail: str
    """Why it is stale, or what the run's end said."""

    @property
    def counts(self) -> bool:
        """Whether it is a result of the table: finished or diverged, and comparable."""
        return self.standing in ("finished", "diverged")


@dataclass(frozen=True)
class Measurement:
    """What our runs of a cell say about one metric."""

    summary: Summary | None
    """Over the finished seeds, with interval; None if there are none."""
    seeds: tuple[SeedValue, ...]
    """Every seed; () where the cell is not run."""
    protocol: Protocol = field(default_factory=dict)
    """How the values were measured."""
    deviates: bool = False
    """Measured by another protocol than most of the column."""
    stages: tuple[str, ...] = ()
    """Ids of the stages behind the values."""
    target: str = ""
    """Anchor of the first run's provenance."""
    can_run: bool = True
    """False: another method's printed row."""
    trials: int = 1
    """Values of each seed, of which its own is the mean."""


@dataclass(frozen=True)
class Mean:
    """The mean of something that only accompanies a result."""

    summary: Summary | None
    seeds: int
    """How many seeds have a result; fewer behind the mean are said."""
    target: str = ""


@dataclass(frozen=True)
class Difference:
    """A difference in the metric's unit, with its interval if the summary has one."""

    summary: Summary | None


@dataclass(frozen=True)
class VerdictMark:
    """A claim's verdict."""

    verdict: str
    words: str
    """The verdict with what is needed to decide it."""


Cell = Text | Label | Printed | Measurement | Mean | Difference | VerdictMark
C = TypeVar("C", bound=Cell)


@dataclass(frozen=True, eq=False)
class Column:
    """What a column declares of its cells. Two columns that say the same are still two."""

    label: str
    unit: str = ""
    group: str = ""
    """Whose numbers they are, or of which task: stands over the label."""
    kind: Kind = "other"
    metric: Metric | None = None
    better: Better | None = None
    """Which way is an improvement; None: neither, or it is not known."""
    align: Literal["left", "right"] = "left"
    awaits: str = ""
    """What the harness lacks to fill the column from our runs."""


@dataclass(frozen=True)
class Row:
    """A table's row, and the anchor by which others lead to it."""

    cells: tuple[Cell, ...]
    anchor: str = ""
    emphasis: bool = False
    """Set apart from the others, e.g. the control."""
    key: str = ""
    """The ablation's cell."""
    in_paper: bool = True
    """Whether the paper's table has the row."""


@dataclass(frozen=True)
class Table:
    """A table; `cards` makes rows cards on narrow screens."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    cards: bool = False

    def of_kind(self, kind: Kind) -> list[Column]:
        return [column for column in self.columns if column.kind == kind]

    def at(self, row: Row, column: Column, wanted: type[C]) -> C:
        """The row's cell of a column of this table.

        Raises:
            TypeError: the column holds something else.
        """
        found = row.cells[self.columns.index(column)]
        if not isinstance(found, wanted):
            raise TypeError(f"the column {column.label} holds {type(found).__name__}")
        return found

    def measurements(self, row: Row) -> Mapping[Metric, Measurement]:
        """Metric -> what our runs of the row's cell say about it, in the order of the columns."""
        return {
            column.metric: self.at(row, column, Measurement)
            for column in self.of_kind("measured")
            if column.metric is not None
        }

    def to_untrained(self, row: Row, metric: Metric) -> Summary | None:
        """The row's difference to the untrained network; None without one."""
        for column in self.of_kind("to untrained"):
            if column.metric == metric:
                return self.at(row, column, Difference).summary
        return None
