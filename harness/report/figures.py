"""Curves as SVG: one line per cell, the mean over seeds with a band from least to greatest.

The colours are Okabe and Ito's, which colour-blind readers tell apart; from the eighth cell on the
dashes differ too. Ink is the placeholder INK, which a page replaces by its own text colour.
"""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.collect import CellResult, Results
from harness.report.runs import Point, Run

INK = "#010203"
"""A colour that nothing else has: `currentColor` in a page, dark in a file."""
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
DASHES = ("-", "--", "-.", ":")
FEW = 40
"""Curves of at most so many points show where they were measured."""

STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.formatter.useoffset": False,
}


@dataclass(frozen=True)
class Line:
    """A cell's curve(s) as they are drawn."""

    cell: CellResult
    curves: tuple[tuple[Point, ...], ...]
    """One per seed that has any points."""
    broken: tuple[bool, ...]
    """Whether each seed diverged: its end is marked."""

    @property
    def band(self) -> list[tuple[float, float, float, float]] | None:
        """(epoch, mean, least, greatest) if the seeds were measured at the same epochs."""
        grids = [[round(x, 6) for x, _ in curve] for curve in self.curves]
        if any(grid != grids[0] for grid in grids):
            return None
        found = []
        for points in zip(*self.curves, strict=True):
            values = [y for _, y in points]
            mean = math.fsum(values) / len(values)
            found.append((points[0][0], mean, min(values), max(values)))
        return found


def lines(results: Results, curve: Callable[[Run], tuple[Point, ...]]) -> list[Line]:
    """The trained cells that have anything to draw; stale runs are left out, the table has them."""
    found = []
    for cell in results.cells:
        if cell.is_control:  # it has no epochs: a level, not a line
            continue
        stale = {v.seed for v in results.values(cell) if v.standing == "stale"}
        runs = [run for run in cell.runs if curve(run) and run.seed not in stale]
        if runs:
            diverged = (run.stages["pretrain"].state == "diverged" for run in runs)
            found.append(Line(cell, tuple(curve(run) for run in runs), tuple(diverged)))
    return found


def draw(
    drawn: Sequence[Line],
    cells: Sequence[CellResult],
    ylabel: str,
    salt: str,
    level: tuple[str, float] | None = None,
) -> str:
    """The lines over epochs as one SVG element, without ids that clash or addresses.

    Args:
        drawn: what to draw.
        cells: all cells of the table; a cell's colour follows from its place in it.
        ylabel: name and unit of the values.
        level: label and value of a horizontal line to compare with.
        salt: makes the drawing's inner names its own; the same salt gives the same bytes.
    """
    from matplotlib import style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with style.context(["default", {**STYLE, "svg.hashsalt": salt}]):
        figure = Figure(figsize=(6.0, 4.2), layout="constrained")
        canvas = FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
        for line in drawn:
            _add(axes, line, **_look(line.cell, cells))
        if level is not None:
            axes.axhline(level[1], label=level[0], color=INK, linewidth=1.2, linestyle=(0, (1, 2)))
        axes.set_xlabel("epoch")
        axes.set_ylabel(ylabel, labelpad=8)
        axes.margins(x=0.02)
        legend = figure.legend(loc="outside lower center", ncols=4, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a dollar sign in a label is a dollar sign
        out = io.StringIO()
        canvas.print_svg(  # type: ignore[no-untyped-call]
            out, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return _tidy(out.getvalue(), salt)


def _look(cell: CellResult, cells: Sequence[CellResult]) -> dict[str, str]:
    """Colour and dashes of a cell, the same in every figure of a report."""
    place = [each.id for each in cells].index(cell.id)
    return {
        "color": PALETTE[place % len(PALETTE)],
        "linestyle": DASHES[place // len(PALETTE) % len(DASHES)],
    }


def _add(axes: Any, line: Line, **look: Any) -> None:
    label = line.cell.label
    if label.startswith("_"):
        label = f" {label}"  # a leading underscore would keep it out of the legend
    band = line.band
    few = max(len(curve) for curve in line.curves) <= FEW
    marker = {"marker": "o", "markersize": 3} if few else {}
    if band is not None:
        epochs, means, least, greatest = zip(*band, strict=True)
        axes.plot(epochs, means, label=label, linewidth=1.5, **marker, **look)
        if len(line.curves) > 1:
            axes.fill_between(epochs, least, greatest, color=look["color"], alpha=0.18, linewidth=0)
    else:  # seeds that were measured at different epochs have no mean: each is drawn by itself
        for n, curve in enumerate(line.curves):
            x, y = zip(*curve, strict=True)
            axes.plot(x, y, label=None if n else label, linewidth=0.9, **marker, **look)
    for curve, broken in zip(line.curves, line.broken, strict=True):
        if broken:
            axes.plot(*curve[-1], marker="x", markersize=8, markeredgewidth=2, color=look["color"])


def _tidy(svg: str, salt: str) -> str:
    """One <svg> element that can stand in a page: no prologue, no addresses, no clashing ids."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{salt}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{salt}-", svg)
    return (
        re.sub(
            r'<svg [^>]*viewBox="([^"]*)"[^>]*>',
            r'<svg viewBox="\1" stroke-linejoin="round">',
            svg,
            count=1,
        )
        + "\n"
    )


def inline(svg: str, label: str) -> str:
    """The drawing as part of a page: its ink is the page's text colour. `label` is escaped here."""
    return _open(svg, f'role="img" aria-label="{html.escape(label)}"').replace(INK, "currentColor")


def standalone(svg: str, label: str) -> str:
    """The drawing as a file, dark on white, readable wherever it is shown."""
    width, height = re.findall(r"[\d.]+", svg[: svg.index(">")])[2:4]
    opened = _open(
        svg,
        f'xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{height}pt" role="img" '
        f'aria-label="{html.escape(label)}"',
    )
    end = opened.index(">") + 1
    paper = '\n <rect width="100%" height="100%" fill="#ffffff"/>'
    return opened[:end] + paper + opened[end:].replace(INK, "#222222")


def _open(svg: str, attributes: str) -> str:
    return svg.replace("<svg ", f"<svg {attributes} ", 1)
