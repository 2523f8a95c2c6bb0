"""The table of results in the paper's own layout, for print.

One row per cell, one column per cell, or one row per series over a figure's axis. Text that does
not fit into a cell becomes a note below the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.recipe.ablation import Ablation
from harness.report.collect import Results
from harness.report.results_table import results_table
from harness.report.table import Column, Label, Measurement, Printed, Row, Table
from harness.report.table_text import NOTHING, measurement, printed_lines, remarks


@dataclass(frozen=True)
class Entry:
    """The content of one cell of the layout."""

    text: str = ""
    mark: str = ""
    """Mark of its note."""


@dataclass
class Layout:
    """A table's layout: plain text without markup, filled row by row."""

    head: tuple[Entry, ...] = ()
    rows: list[tuple[Entry, ...] | None] = field(default_factory=list)
    """None: a rule between rows."""
    groups: list[tuple[str, int]] = field(default_factory=list)
    """(name, number of columns) of the groups above the column heads; "" for no name."""
    left: int = 1
    """Number of left-aligned columns; the others hold numbers and are right-aligned."""
    notes: list[tuple[str, str]] = field(default_factory=list)
    """(mark, text) of each note. A note without a mark is about the whole table."""

    def entry(self, lines: Sequence[str]) -> Entry:
        """The first line, with the mark of a note that holds the other lines."""
        if len(lines) < 2:
            return Entry(lines[0])
        text = ", ".join(lines[1:])
        mark = next((mark for mark, said in self.notes if said == text), "")
        if not mark:
            mark = _letters(len(self.notes))
            self.notes.append((mark, text))
        return Entry(lines[0], mark)


def paper_layout(results: Results) -> Layout:
    """The table of results, in the layout that its ablation names."""
    made = _PaperLayout(results)
    ablation = results.ablation
    if ablation is None or ablation.shape == "down":
        made.down()
    elif ablation.shape == "across":
        made.across()
    else:
        made.grid(ablation)
    return made.layout


class _PaperLayout:
    """Builds the layout of one table of results."""

    def __init__(self, results: Results) -> None:
        self.layout = Layout()
        self._results = results
        self._table: Table = results_table(results)
        self._label = self._table.of_kind("label")[0]
        self._printed = [
            *self._table.of_kind("printed"),
            *self._table.of_kind("printed beside"),
        ]
        self._measured = self._table.of_kind("measured")

    def down(self) -> None:
        """One row per cell; labels of several parts become several columns."""
        layout, heads = self.layout, self._parts()
        columns = [*self._printed, *self._measured]
        layout.head = tuple(map(Entry, [*heads, *map(_named, columns)]))
        layout.left = len(heads)
        layout.groups = [("", len(heads))]
        if self._printed:
            layout.groups.append(("paper", len(self._printed)))
        layout.groups.append(("ours", len(self._measured)))
        below = next((row for row in self._table.rows if not row.in_paper), None)
        for row in self._table.rows:
            if row is below:
                layout.rows.append(None)
            label = self._table.at(row, self._label, Label)
            several = len(heads) > 1 and row.in_paper
            first, *rest = label.text.split(", ") if several else [label.text]
            places = [layout.entry([first, *remarks(label)]), *map(Entry, rest)]
            places += [Entry()] * (len(heads) - len(places))
            places += [self._theirs(row, column) for column in self._printed]
            places += [self._ours(row, column) for column in self._measured]
            layout.rows.append(tuple(places))

    def across(self) -> None:
        """One column per cell; one row for the paper's numbers, if any, and one for each of our
        metrics."""
        layout, rows = self.layout, self._table.rows
        labels = [self._table.at(row, self._label, Label) for row in rows]
        names = (layout.entry([label.text, *remarks(label)]) for label in labels)
        layout.head = (Entry(self._label.label), *names)
        for paper in self._printed[:1]:
            layout.rows.append((_whose(paper), *(self._theirs(row, paper) for row in rows)))
        for column in self._measured:
            layout.rows.append((_whose(column), *(self._ours(row, column) for row in rows)))

    def grid(self, ablation: Ablation) -> None:
        """One row per series and one column per position on the axis, the paper's rows above
        ours."""
        assert ablation.figure is not None
        layout = self.layout
        places = {cell.id: (cell.series, cell.x) for cell in ablation.cells}
        axis = sorted({x for _, x in places.values() if x is not None})
        layout.head = tuple(map(Entry, [self._label.label, "", *(f"{x:g}" for x in axis)]))
        layout.left = 2
        layout.groups = [("", 2), (ablation.figure.x, len(axis))]
        by_place = {places[row.key]: row for row in self._table.rows if row.key in places}
        for n, series in enumerate(dict.fromkeys(series for series, _ in places.values())):
            if n:
                layout.rows.append(None)
            rows = [by_place.get((series, x)) for x in axis]
            name = Entry(series)
            for paper in self._printed[:1]:
                theirs = (self._theirs(row, paper) if row else Entry() for row in rows)
                layout.rows.append((name, _whose(paper), *theirs))
                name = Entry()
            for column in self._measured:
                ours = (self._ours(row, column) if row else Entry() for row in rows)
                layout.rows.append((name, _whose(column), *ours))
                name = Entry()
        for row in self._table.rows:
            label = self._table.at(row, self._label, Label)
            if row.emphasis:
                layout.notes.append(("", self._in_words(row)))
            elif said := remarks(label):
                layout.notes.append(("", f"{label.text}: {', '.join(said)}"))

    def _parts(self) -> list[str]:
        """The heads of the first columns: those of the axis, if every label has as many parts."""
        heads = self._label.label.split(", ")
        if self._results.ablation is None:
            return [self._label.label]
        sizes = Counter(
            len(self._table.at(row, self._label, Label).text.split(", "))
            for row in self._table.rows
            if not row.emphasis
        )
        return heads if set(sizes) == {len(heads)} else [self._label.label]

    def _theirs(self, row: Row, column: Column) -> Entry:
        return self.layout.entry(printed_lines(self._table.at(row, column, Printed)))

    def _ours(self, row: Row, column: Column) -> Entry:
        return self.layout.entry(self._lines(row, column))

    def _lines(self, row: Row, column: Column) -> list[str]:
        """Mean ± deviation, then remarks, e.g. the number of seeds if some are missing."""
        found = self._table.at(row, column, Measurement)
        if not found.seeds:
            return [NOTHING]
        said = measurement(found)
        n = len(self._results.seen_seeds)
        usual = ("", "1 seed", f"n = {n}", f"{n} seeds")
        return [said.value, *([] if said.seeds in usual else [said.seeds]), *said.others]

    def _in_words(self, row: Row) -> str:
        """A row that has no place in the grid, as text."""
        label = self._table.at(row, self._label, Label)
        name = " ".join([label.text, *(f"({line})" for line in remarks(label))])
        said = (f"{_named(c)} {', '.join(self._lines(row, c))}" for c in self._measured)
        return f"{name}: {'; '.join(said)}"


def _named(column: Column) -> str:
    return f"{column.label} ({column.unit})" if column.unit else column.label


def _whose(column: Column) -> Entry:
    return Entry(f"{column.group}, {_named(column)}")


def _letters(n: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    first = _letters(n // 26 - 1) if n >= 26 else ""
    return first + "abcdefghijklmnopqrstuvwxyz"[n % 26]
