"""The page of a table: what it shows, and where."""

from __future__ import annotations

import re

import pytest

from harness.report.blocks import Document, Section
from harness.report.html import MOST, render
from harness.report.statistics import Summary
from harness.report.table import Cell, Column, Difference, Label, Row, Table, Text


def table(metrics: int) -> Table:
    """One row: its name, and of each metric our value and its difference from the untrained
    network."""
    columns, cells = [Column("start", kind="label")], list[Cell]([Label("MoCo")])
    for n in range(metrics):
        columns.append(Column(f"metric {n}", "%", "ours", "measured", align="right"))
        columns.append(Column("to untrained", "points", kind="to untrained", align="right"))
        cells.append(Text(f"{n}.50 ± 0.25 (n = 4)"))
        cells.append(Difference(Summary(4, n + 0.125, 0.1, n - 1.0, n + 1.0)))
    return Table(tuple(columns), (Row(tuple(cells)),), cards=True)


@pytest.mark.parametrize("metrics", [MOST // 2, MOST // 2 + 1])
def test_a_wide_table_has_its_differences_below_its_numbers(metrics: int) -> None:
    made = table(metrics)
    page = render(Document("table", (Section("", (made,)),)))
    stacked = len(made.columns) > MOST
    columns = 1 + (metrics if stacked else 2 * metrics)
    assert len(re.findall('<th scope="col"', page)) == columns
    (row,) = re.findall("<tbody>(.*?)</tbody>", page, re.DOTALL)
    assert len(re.findall("<t[hd]", row)) == columns
    said = re.sub("<[^>]*>", " ", row).replace("&nbsp;", " ").split()
    for n in range(metrics):
        place = said.index(f"{n}.50")
        assert said[place + 6] == f"+{n}.12"
        assert said[place + 7 : place + 10] == [f"({n - 1:+d}.00", "to", f"+{n + 1}.00)"]
