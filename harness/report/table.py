"""The one table model: columns that declare their content, and cells that hold typed values.

Every table of a report is a `Table`. Markdown, HTML, LaTeX, CSV, JSON and the terminal are made
from it. The text of a cell comes from `harness.report.table_text`, and no code parses text back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from harness.recipe.ablation import Metric, Number
from harness.report.evaluation_protocol import Protocol
from harness.report.runs import Standing
from harness.report.statistics import Summary
from harness.spec.declarations import Better

Tone = Literal["plain", "good", "bad", "unsure", "quiet", "code"]
"""How to display a piece of text. A formatter may ignore it: the text itself has the same
meaning."""

Kind = Literal[
    "label", "printed", "printed beside", "measured", "to the paper", "to untrained", "other"
]
"""Kind of a column: the row's name; the paper's numbers; other columns of the paper; ours; ours
minus the paper's; ours minus the untrained network's; or anything else."""


@dataclass(frozen=True)
class Text:
    """A piece of text; line breaks are kept."""

    text: str
    tone: Tone = "plain"
    target: str = ""
    """Anchor in the same page that the text links to."""


@dataclass(frozen=True)
class Label:
    """A row's name."""

    text: str
    changed: str = ""
    """The scale's own changes to the cell, e.g. "optim.epochs = 3"."""
    weights: tuple[str, ...] = ()
    """One line per file of initial weights of its runs, with its digest."""


@dataclass(frozen=True)
class Printed:
    """A number as the paper printed it."""

    number: Number
    approximate: bool = False
    """Whether it was read off a drawn curve."""
    runs: Summary | None = None
    """Summary of the single runs behind it, if the paper printed them."""


@dataclass(frozen=True)
class SeedValue:
    """One seed's outcome for one metric, checked for comparability with the table's values."""

    seed: int
    standing: Standing | Literal["stale"]
    value: float | None
    detail: str
    """Why it is stale, or the run's last message."""

    @property
    def counts(self) -> bool:
        """Whether it is a result of the table: finished or diverged, and comparable."""
        return self.standing in ("finished", "diverged")


def finished(values: Iterable[SeedValue]) -> dict[int, float]:
    """Seed -> value of the seeds that finished and may be compared."""
    return {v.seed: v.value for v in values if v.standing == "finished" and v.value is not None}


@dataclass(frozen=True)
class Measurement:
    """Our runs' results of a cell for one metric."""

    summary: Summary | None
    """Over the finished seeds, with interval; None if there are none."""
    seeds: tuple[SeedValue, ...]
    """Every seed; () if the cell is not run."""
    protocol: Protocol = field(default_factory=dict)
    """How the values were measured."""
    deviates: bool = False
    """Whether it was measured by another protocol than most of the column."""
    stages: tuple[str, ...] = ()
    """Ids of the stages behind the values."""
    target: str = ""
    """Anchor of the first run's provenance."""
    can_run: bool = True
    """False: another method's printed row, which cannot be run."""
    trials: int = 1
    """Number of values per seed; the seed's value is their mean."""


@dataclass(frozen=True)
class Mean:
    """The mean of a value that only accompanies a result."""

    summary: Summary | None
    seeds: int
    """Expected number of seeds; the text says if fewer have a value."""
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
    """What a column declares about its cells. Two columns with equal declarations are still two."""

    label: str
    unit: str = ""
    group: str = ""
    """Source of the numbers, or their task; shown above the label."""
    kind: Kind = "other"
    metric: Metric | None = None
    better: Better | None = None
    """Which direction is an improvement; None: neither, or unknown."""
    align: Literal["left", "right"] = "left"
    awaits: str = ""
    """What the harness lacks to fill the column from our runs."""


@dataclass(frozen=True)
class Row:
    """A table's row, and the anchor that links lead to."""

    cells: tuple[Cell, ...]
    anchor: str = ""
    emphasis: bool = False
    """Whether the row is set apart from the others, e.g. the control."""
    key: str = ""
    """The ablation's cell."""
    in_paper: bool = True
    """Whether the paper's table has the row."""


@dataclass(frozen=True)
class Table:
    """A table. With `cards`, rows become cards on narrow screens."""

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
        """Metric -> our runs' results for the row's cell, in the order of the columns."""
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
