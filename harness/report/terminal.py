"""A report's tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from harness.report.table import Column, Kind, Table, Tone
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
"""Kinds of columns that have room on a terminal."""


def terminal_table(table: Table, kinds: Iterable[Kind] | None = None) -> RichTable:
    """The table as rich draws it.

    Args:
        kinds: which columns to show; None: all of them.
    """
    wanted = None if kinds is None else set(kinds)
    shown = [n for n, c in enumerate(table.columns) if wanted is None or c.kind in wanted]
    made = RichTable(box=None, pad_edge=False, header_style="bold")
    for column in (table.columns[n] for n in shown):
        made.add_column(escape(_heading(column)), justify=column.align)
    for row in table.rows:
        said = [text(row.cells[n]) for n in shown]
        made.add_row(*(Text(each.text, style=STYLE[each.tone]) for each in said))
    return made


def _heading(column: Column) -> str:
    """The unit stands beside whose numbers they are: names are long enough."""
    if column.group and column.unit:
        return f"{column.group}, {column.unit}\n{column.label}"
    return heading(column)
