"""The main table in the shape that the paper gave it: rows, cells side by side, or a grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from harness.recipe.ablation import Ablation, Metric
from harness.report.collect import CellResult, Results
from harness.report.setting import NAMES, UNITS
from harness.report.tables import (
    NOTHING,
    cell_text,
    given_weights,
    measured,
    number,
    printed,
)


@dataclass
class Grid:
    """A table of plain strings, without markup."""

    MARK: ClassVar[str] = "\0"
    """Before a note's mark at a string's end."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...] | None] = field(default_factory=list)
    """None: a rule between rows."""
    groups: list[tuple[str, int]] = field(default_factory=list)
    """(name, columns) of what stands above the heads; "" for none."""
    numeric: frozenset[int] = frozenset()
    notes: list[tuple[str, str]] = field(default_factory=list)
    """(mark, text) of what does not fit into a cell; without a mark it is of the whole table."""

    def add(self, cells: Iterable[str]) -> None:
        self.rows.append(tuple(cells))

    def marked(self, lines: Sequence[str]) -> str:
        """The first line, with a mark to a note that holds the others."""
        if len(lines) < 2:
            return lines[0]
        text = ", ".join(lines[1:])
        mark = next((mark for mark, said in self.notes if said == text), "")
        if not mark:
            mark = _letters(len(self.notes))
            self.notes.append((mark, text))
        return f"{lines[0]}{self.MARK}{mark}"


def paper_table(results: Results) -> Grid:
    """The table, of the shape that its ablation names."""
    ablation = results.ablation
    if ablation is None or ablation.shape == "down":
        return _down(results)
    return _across(results, ablation) if ablation.shape == "across" else _grid(results, ablation)


def _down(results: Results) -> Grid:
    """A row for each cell; labels of several parts are columns of their own."""
    ablation = results.ablation
    heads = _parts(results)
    metrics = measured(results)
    theirs = []
    if ablation is not None:
        theirs = [_named(ablation.metric)]
        theirs += [c.label + (f" ({c.units})" if c.units else "") for c in ablation.columns]
    names = [*heads, *theirs, *map(_named, metrics)]
    grid = Grid(tuple(names), numeric=frozenset(range(len(heads), len(names))))
    grid.groups = [("", len(heads)), *([("paper", len(theirs))] if theirs else [])]
    grid.groups.append(("ours", len(metrics)))
    for cell in results.cells:
        if _is_first_below(results, cell):
            grid.rows.append(None)
        several = len(heads) > 1 and ablation is not None and ablation.cell(cell.id) is not None
        parts = cell.label.split(", ") if several else [cell.label]
        row = [_given(grid, cell, parts[0]), *parts[1:], *[""] * (len(heads) - len(parts))]
        if ablation is not None:
            row.append(_printed(grid, ablation, cell))
            row += [number(column.values.get(cell.id)) for column in ablation.columns]
        grid.add([*row, *(_ours(grid, results, cell, metric) for metric in metrics)])
    return grid


def _is_first_below(results: Results, cell: CellResult) -> bool:
    """Whether it is the first row that the paper's table does not have."""
    ablation = results.ablation
    if ablation is None:
        return False
    return cell is next((c for c in results.cells if ablation.cell(c.id) is None), None)


def _across(results: Results, ablation: Ablation) -> Grid:
    """A column for each cell; a row for the paper, and one for each of our metrics."""
    grid = Grid(())
    grid.head = (ablation.axis, *(_given(grid, cell, cell.label) for cell in results.cells))
    grid.numeric = frozenset(range(1, len(grid.head)))
    paper = (_printed(grid, ablation, cell) for cell in results.cells)
    grid.add((f"paper, {_named(ablation.metric)}", *paper))
    for metric in measured(results):
        ours = (_ours(grid, results, cell, metric) for cell in results.cells)
        grid.add((f"ours, {_named(metric)}", *ours))
    return grid


def _grid(results: Results, ablation: Ablation) -> Grid:
    """A row for each series and a column for each place on the axis, the paper's above ours."""
    assert ablation.figure is not None
    places = {cell.id: (cell.series, cell.x) for cell in ablation.cells}
    axis = sorted({x for _, x in places.values() if x is not None})
    metrics = measured(results)
    grid = Grid((ablation.axis, "", *(f"{x:g}" for x in axis)))
    grid.numeric = frozenset(range(2, len(grid.head)))
    grid.groups = [("", 2), (ablation.figure.x, len(axis))]
    by_place = {places[cell.id]: cell for cell in results.cells if cell.id in places}
    for n, series in enumerate(dict.fromkeys(series for series, _ in places.values())):
        if n:
            grid.rows.append(None)
        cells = [by_place.get((series, x)) for x in axis]
        paper = (_printed(grid, ablation, cell) if cell else "" for cell in cells)
        grid.add((series, f"paper, {_named(ablation.metric)}", *paper))
        for metric in metrics:
            ours = (_ours(grid, results, cell, metric) if cell else "" for cell in cells)
            grid.add(("", f"ours, {_named(metric)}", *ours))
    for cell in results.cells:
        if cell.is_control:
            said = (f"{_named(m)} {', '.join(_lines(results, cell, m))}" for m in metrics)
            label = " ".join([cell.label, *(f"({line})" for line in given_weights(cell))])
            grid.notes.append(("", f"{label}: {'; '.join(said)}"))
    return grid


def _parts(results: Results) -> list[str]:
    """The first columns' heads: those of the axis, if every label has as many parts."""
    if results.ablation is None:
        return ["recipe"]
    heads = results.ablation.axis.split(", ")
    sizes = Counter(len(cell.label.split(", ")) for cell in results.cells if not cell.is_control)
    return heads if set(sizes) == {len(heads)} else [results.ablation.axis]


def _named(metric: Metric) -> str:
    return f"{NAMES[metric]} ({UNITS[metric]})"


def _printed(grid: Grid, ablation: Ablation, cell: CellResult) -> str:
    return (
        NOTHING
        if ablation.cell(cell.id) is None
        else grid.marked(printed(ablation, cell).split("\n"))
    )


def _given(grid: Grid, cell: CellResult, label: str) -> str:
    """The label, marked if the cell began with given weights."""
    return grid.marked([label, *given_weights(cell)])


def _ours(grid: Grid, results: Results, cell: CellResult, metric: Metric) -> str:
    return grid.marked(_lines(results, cell, metric))


def _lines(results: Results, cell: CellResult, metric: Metric) -> list[str]:
    """Mean ± deviation, then whatever else is to be said: the seeds, unless all of them stand."""
    if not cell.runs:
        return [NOTHING]
    first, *rest = cell_text(results, cell, metric).text.split("\n")
    words, _, seeds = first.rstrip(")").partition(" (")
    n = len(results.seen_seeds)
    usual = ("", "1 seed", f"n = {n}", f"{n} seeds")
    return [words, *([] if seeds in usual else [seeds]), *rest]


def _letters(n: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    first = _letters(n // 26 - 1) if n >= 26 else ""
    return first + "abcdefghijklmnopqrstuvwxyz"[n % 26]
