"""A report's tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from harness.report.table import Cell, Column, Kind, Label, Measurement, Table, Tone
from harness.report.table_text import heading, text

STYLE: dict[Tone, str] = {
    "plain": "default",
    "good": "green",
    "bad": "red",
    "unsure": "yellow",
    "quiet": "dim",
    "code": "default",
}

NARROW: tuple[Kind, ...] = ("label", "printed", "measured")
"""Kinds of columns that fit on a terminal."""

MOST = 5
"""Maximum number of reasons shown."""


def terminal_table(table: Table, kinds: Iterable[Kind] | None = None) -> RichTable:
    """The table as rich draws it, without the reasons of stale values: see `stale_reasons`.

    Args:
        kinds: which columns to show; None: all of them.
    """
    wanted = None if kinds is None else set(kinds)
    shown = [n for n, c in enumerate(table.columns) if wanted is None or c.kind in wanted]
    made = RichTable(box=None, pad_edge=False, header_style="bold")
    for column in (table.columns[n] for n in shown):
        made.add_column(escape(_heading(column)), justify=column.align)
    for row in table.rows:
        said = [text(_short(row.cells[n])) for n in shown]
        made.add_row(*(Text(each.text, style=STYLE[each.tone]) for each in said))
    return made


def stale_reasons(table: Table) -> Iterator[str]:
    """Why values are stale, one line per reason. `terminal_table` has no space for them."""
    found: dict[str, dict[str, None]] = {}
    for row in table.rows:
        of = next((cell.text for cell in row.cells if isinstance(cell, Label)), row.key)
        for cell in row.cells:
            for seed in cell.seeds if isinstance(cell, Measurement) else ():
                if seed.standing == "stale":
                    found.setdefault(seed.detail, {})[f"{of} (seed {seed.seed})"] = None
    for reason, where in [*found.items()][:MOST]:
        yield f"stale: {', '.join(where)}: {reason}"
    if len(found) > MOST:
        yield f"stale for {len(found) - MOST} more reasons; see the report"


def _short(cell: Cell) -> Cell:
    """The cell without reasons."""
    if not isinstance(cell, Measurement):
        return cell
    return replace(cell, seeds=tuple(replace(seed, detail="") for seed in cell.seeds))


def _heading(column: Column) -> str:
    """The heading of a column. The unit stands next to the group, because the names are long
    enough."""
    if column.group and column.unit:
        return f"{column.group}, {column.unit}\n{column.label}"
    return heading(column)
