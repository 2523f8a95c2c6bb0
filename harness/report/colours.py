"""Colours and markers of the cells: the same in every figure of a report, and never both the
same."""

from __future__ import annotations

from harness.report.collect import CellResult, Results

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
"""Okabe and Ito's colours, which colour-blind readers can distinguish."""

MARKERS = ("o", "s", "^", "D", "v", "X", "P", "*")
"""One more than colours, so that they repeat together only after 56 cells."""

PALEST = 0.45
"""Cells of one colour get lighter from first to last, by at most this share of white."""


def series_colours(results: Results) -> dict[str, str]:
    """Series -> colour, in the order of the table."""
    rows = results.ablation.cells if results.ablation is not None else ()
    names = dict.fromkeys(row.series for row in rows if row.x is not None)
    return {name: PALETTE[n % len(PALETTE)] for n, name in enumerate(names)}


def cell_colours(results: Results) -> dict[str, str]:
    """Cell -> colour, for cells that are run: its series' colour, else the next of the palette.
    Cells with the same colour get shades of it, and `cell_markers` tells them apart."""
    series = series_colours(results)
    sharing: dict[str, list[str]] = {}
    for n, cell in enumerate(_run(results)):
        row = results.ablation.cell(cell.id) if results.ablation is not None else None
        colour = series.get(row.series) if row is not None and row.series else None
        sharing.setdefault(colour or PALETTE[n % len(PALETTE)], []).append(cell.id)
    return {
        cell: _paler(colour, PALEST * n / len(cells))
        for colour, cells in sharing.items()
        for n, cell in enumerate(cells)
    }


def cell_markers(results: Results) -> dict[str, str]:
    """Cell -> marker, for cells that are run."""
    return {cell.id: MARKERS[n % len(MARKERS)] for n, cell in enumerate(_run(results))}


def _run(results: Results) -> list[CellResult]:
    return [cell for cell in results.cells if cell.runs and not cell.is_control]


def _paler(colour: str, share: float) -> str:
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)
