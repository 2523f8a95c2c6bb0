"""Figure of a table's cells as series over an axis: our points, and the paper's beside them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from harness.recipe.ablation import CONTROL
from harness.recipe.schema import Recipe
from harness.report import recipe_facts
from harness.report.blocks import Figure, Series
from harness.report.collect import CONTROL_LABEL, Results
from harness.report.colours import series_colours
from harness.report.curves_figure import THE_PAPERS
from harness.report.measures import measure
from harness.report.svg import INK, drawing
from harness.report.table_text import quoted

NAME = "axis"


def _negatives(recipe: Recipe) -> float:
    """K as v1's Fig. 3 counts it: queue, draws from the bank, or the batch of end-to-end."""
    return float(recipe.contrast.on_axis(recipe.optim.batch) or 0)


READ: dict[Literal["negatives", "temperature", "epochs"], Callable[[Recipe], float]] = {
    "negatives": _negatives,
    "temperature": recipe_facts.temperature,
    "epochs": lambda recipe: recipe.optim.epochs,
}
"""How to read a recipe's position on a figure's axis."""


@dataclass(frozen=True)
class _Curve:
    """One series: (x, mean, deviation or 0) as we measured it, and (x, value) as printed."""

    label: str
    ours: list[tuple[float, float, float | None]]
    printed: list[tuple[float, float]]


def axis_figure(results: Results) -> list[Figure]:
    """The figure of a table, if the ablation has one and a cell has a value."""
    ablation = results.ablation
    if ablation is None or ablation.figure is None:
        return []
    curves = _curves(results)
    if not any(curve.ours for curve in curves):
        return []
    several = any(deviation is not None for curve in curves for *_, deviation in curve.ours)
    words = f"{measure(results.metric).label} over {ablation.figure.x}: "
    words += "mean over seeds, bars of one deviation" if several else "one seed"
    if ablation.metric is not None:
        words += f"; hollow and dashed, {measure(ablation.metric).label} as printed"
    if ablation.uncertainty:
        words += f" (±{ablation.uncertainty:g})"
    alt = f"{words}, for {quoted(curve.label for curve in curves)}"
    series = [Series(c.label, ("x", "mean", "deviation"), tuple(c.ours)) for c in curves]
    series += [
        Series(f"{c.label}, {THE_PAPERS}", ("x", "value"), tuple(c.printed))
        for c in curves
        if ablation.of_paper
    ]
    return [Figure(NAME, _draw(results, curves), f"{words}.", alt, tuple(series))]


def _curves(results: Results) -> list[_Curve]:
    ablation = results.ablation
    assert ablation is not None
    assert ablation.figure is not None
    read = READ[ablation.figure.reads]
    found: dict[str, _Curve] = {}
    for cell in results.cells:
        row = ablation.cell(cell.id)
        if row is None or row.x is None:
            continue
        curve = found.setdefault(row.series, _Curve(row.series, [], []))
        if isinstance(row.printed, float):
            curve.printed.append((row.x, row.printed))
        summary = results.summary(cell)
        if summary is not None:
            curve.ours.append((read(cell.runs[0].recipe), summary.mean, summary.sd))
    return list(found.values())


def _draw(results: Results, curves: list[_Curve]) -> str:
    ablation = results.ablation
    assert ablation is not None
    assert ablation.figure is not None
    with drawing(NAME) as drawn:
        axes = drawn.axes
        colours = series_colours(results)
        handles = [_add(axes, curve, colours[curve.label]) for curve in curves]
        control = results.cell(CONTROL)
        level = results.summary(control) if control is not None else None
        if level is not None:
            handles.append(
                axes.axhline(
                    level.mean, label=CONTROL_LABEL, color=INK, linewidth=1.2, linestyle=(0, (1, 2))
                )
            )
        if ablation.metric is not None:
            handles += axes.plot(
                [], [], label=f"{THE_PAPERS} ({measure(ablation.metric).label})", color=INK,
                linewidth=1, linestyle="--", marker="o", markerfacecolor="none", markersize=6,
            )  # fmt: skip
        if ablation.figure.log:
            axes.set_xscale("log", base=2)
        ours = {x for curve in curves for x, *_ in curve.ours}
        places = sorted(ours | {x for curve in curves for x, _ in curve.printed})
        axes.set_xticks(places, [f"{x:g}" for x in places])
        axes.minorticks_off()
        axes.set_xlabel(ablation.figure.x).set_parse_math(False)
        alike = ablation.metric in (None, results.metric)
        what = measure(results.metric).label if alike else "accuracy"
        axes.set_ylabel(f"{what}, {measure(results.metric).unit}", labelpad=8)
        axes.margins(x=0.04)
        drawn.legend(handles)
        return drawn.svg()


def _add(axes: Any, curve: _Curve, colour: str) -> Any:
    if curve.printed:
        x, y = zip(*sorted(curve.printed), strict=True)
        axes.plot(
            x, y, color=colour, linewidth=1, linestyle="--", marker="o", markerfacecolor="none",
            markersize=6, alpha=0.8,
        )  # fmt: skip
    ours = sorted(curve.ours, key=lambda point: point[:2])
    x, y, bars = zip(*ours, strict=True) if ours else ((), (), ())
    if any(bars):
        shown = [math.nan if bar is None else bar for bar in bars]
        axes.errorbar(x, y, shown, color=colour, linestyle="none", capsize=3, linewidth=1)
    return axes.plot(x, y, label=curve.label, color=colour, linewidth=1.6, marker="o")[0]
