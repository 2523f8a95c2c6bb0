"""Curves over epochs: one line per cell, the mean over seeds with a band from minimum to maximum.

The paper's own curves, if it printed any, are dashed in the same colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.errors import RecipeError
from harness.recipe.ablation import CONTROL, Curve, Metric
from harness.recipe.reference import printed_curves
from harness.report.blocks import Figure, Series
from harness.report.collect import CONTROL_LABEL, CellResult, Results
from harness.report.colours import cell_colours, cell_markers
from harness.report.curves import Point, further
from harness.report.measures import measure
from harness.report.runs import Run
from harness.report.svg import INK, drawing
from harness.report.table_text import quoted

FEW = 40
"""Curves with at most this many points show a marker at each point."""
WHOLE = 2
"""Over so many epochs the axis is marked at whole ones only."""
APART = 10
"""Longer curves show about so many markers."""
LONGER = 10
"""A printed curve over more than so many times our epochs is not drawn: ours would be a dot."""
HEALTH = "health/"
"""The beginning of the names of metrics of health."""
THE_PAPERS, OFFICIAL = "the paper's", "the official log's"


@dataclass(frozen=True)
class Line:
    """A cell's curves as they are drawn."""

    cell: CellResult
    curves: tuple[tuple[Point, ...], ...]
    """One per seed that has points."""
    broken: tuple[bool, ...]
    """Whether each seed diverged: the end of its curve is marked."""
    printed: tuple[Point, ...] = ()
    """The paper's curve."""

    @property
    def band(self) -> list[tuple[float, float, float, float]] | None:
        """(epoch, mean, minimum, maximum) if the seeds were measured at the same epochs."""
        grids = [[round(x, 6) for x, _ in curve] for curve in self.curves]
        if not grids or any(grid != grids[0] for grid in grids):
            return None
        found = []
        for points in zip(*self.curves, strict=True):
            values = [y for _, y in points]
            mean = math.fsum(values) / len(values)
            found.append((points[0][0], mean, min(values), max(values)))
        return found


def curves_figures(results: Results) -> list[Figure]:
    """kNN, loss and what else pre-training measures but health, over epochs; for a table with
    printed curves, pretext accuracy first."""
    printed = _printed(results)
    knn: Metric = "knn/top1"
    control = results.cell(CONTROL)
    untrained = results.summary(control, knn) if control is not None else None
    level = untrained.mean if untrained is not None else None
    found = []
    if any(curve.metric == "pretext/top1" for curve in printed):
        lines = _lines(results, lambda run: run.curves.pretext, printed, "pretext/top1")
        found.append(_figure("pretext", "pretext/top1", lines, results))
    lines = _lines(results, lambda run: run.curves.knn, printed, knn)
    found.append(_figure("knn", knn, lines, results, level))
    lines = _lines(results, lambda run: run.curves.loss, printed, "train/loss")
    found.append(_figure("loss", "train/loss", lines, results))
    own = [figure for figure in found if figure is not None]
    return own + _all_further(results, [each for each in further() if not _of_health(each)])


def _printed(results: Results) -> Sequence[Curve]:
    """The printed curves of the table or, for a single recipe, those that it names."""
    if results.ablation is not None:
        return results.ablation.curves
    if (named := results.recipe.about.curves) is None:
        return ()
    try:
        found = printed_curves(named)
    except RecipeError:  # `recipes validate` tells it
        return ()
    return [curve.model_copy(update={"cell": results.name}) for curve in found]


def _theirs(results: Results) -> str:
    """Whose the printed curves are."""
    table = results.ablation
    return THE_PAPERS if table is not None and not table.paper.startswith("official") else OFFICIAL


def health_figures(results: Results) -> list[Figure]:
    """The health of the features over epochs."""
    return _all_further(results, [each for each in further() if _of_health(each)])


def _of_health(name: str) -> bool:
    return name.startswith(HEALTH)


def _all_further(results: Results, names: Sequence[str]) -> list[Figure]:
    found = [
        _figure(name.rpartition("/")[2], name, _lines(results, partial(_further, name)), results)
        for name in names
    ]
    return [figure for figure in found if figure is not None]


def _further(name: str, run: Run) -> tuple[Point, ...]:
    return run.curves.further.get(name, ())


def _lines(
    results: Results,
    curve: Callable[[Run], tuple[Point, ...]],
    printed: Sequence[Curve] = (),
    metric: str = "",
) -> tuple[Line, ...]:
    """The trained cells with curves to draw. Stale runs are left out; the table shows them."""
    found = []
    for cell in results.cells:
        if cell.is_control:  # the control is not trained: a horizontal line, not a curve
            continue
        stale = {v.seed for v in results.values(cell) if v.standing == "stale"}
        stale |= {run.seed for run in cell.runs if results.stale_training(run)}
        runs = [run for run in cell.runs if curve(run) and run.seed not in stale]
        if runs:
            diverged = tuple(run.stages["pretrain"].state == "diverged" for run in runs)
            last = LONGER * runs[0].recipe.optim.epochs
            theirs = [
                each.points
                for each in printed
                if (each.cell, each.metric) == (cell.id, metric) and each.points[-1][0] <= last
            ]
            beside = theirs[0] if theirs else ()
            if runs[0].recipe.optim.steps is not None:  # stopped early: of theirs the same part
                end = math.ceil(max(curve(run)[-1][0] for run in runs))
                beside = tuple(point for point in beside if point[0] <= end)
            found.append(Line(cell, tuple(map(curve, runs)), diverged, beside))
    return tuple(found)


def _figure(
    name: str, metric: Metric, lines: Sequence[Line], results: Results, level: float | None = None
) -> Figure | None:
    """Lines over epochs; None without any.

    Args:
        metric: the metric of the values.
        level: the untrained network's value, a horizontal line.
    """
    if not lines:
        return None
    shown, theirs = measure(metric), _theirs(results)
    caption = f"{_capital(shown.label)} over epochs"
    if means := [line for line in lines if len(line.curves) > 1 and line.band is not None]:
        caption += ": mean over seeds, band from minimum to maximum"
    if single := [line.cell.label for line in lines if line.band is None]:
        caption += f"{';' if means else ':'} separate lines for seeds whose journals differ"
        caption += f" ({quoted(single)})" if means else ""
    if any(line.printed for line in lines):
        caption += f"; dashed: {theirs} curve, at its own scale"
    if any(True in line.broken for line in lines):
        caption += "; × marks divergence"
    alt = f"{caption}, for {quoted(line.cell.label for line in lines)}"
    unit = "" if shown.unit == "1" else f", {shown.unit}"
    markers, colours = cell_markers(results), cell_colours(results)
    looks = {each: (colour, markers[each]) for each, colour in colours.items()}
    svg = _draw(name, f"{shown.label}{unit}", lines, looks, level, theirs)
    caption += f". {_capital(shown.description)}" if metric in further() else ""
    return Figure(name, svg, f"{caption}.", alt, tuple(line_series(lines, level, theirs)))


def _capital(label: str) -> str:
    """The label with a capital first letter; "kNN" stays as it is."""
    return label if label[1:2].isupper() else label[:1].upper() + label[1:]


def _draw(
    name: str,
    what: str,
    lines: Sequence[Line],
    looks: Mapping[str, tuple[str, str]],
    level: float | None,
    theirs: str,
) -> str:
    """One SVG element."""
    with drawing(name) as drawn:
        axes = drawn.axes
        handles = [add_line(axes, line, *looks[line.cell.id]) for line in lines]
        if level is not None:
            look = {"color": INK, "linewidth": 1.2, "linestyle": (0, (1, 2))}
            handles.append(axes.axhline(level, label=CONTROL_LABEL, **look))
        if any(line.printed for line in lines):
            handles += axes.plot([], [], label=theirs, color=INK, linewidth=1, linestyle="--")
        axes.set_xlabel("epoch")
        first, last = axes.xaxis.get_data_interval()
        if first == last:
            axes.set_xticks([first], [f"{first:g}"])
        elif last - first >= WHOLE:
            axes.locator_params(axis="x", integer=True)
        axes.set_ylabel(what, labelpad=8)
        axes.margins(x=0.02)
        drawn.legend(handles)
        return drawn.svg()


def add_line(axes: Any, line: Line, colour: str, shape: str) -> Any:
    """Draw the line with its band; returns its handle for the legend."""
    label = line.cell.label
    if label.startswith("_"):
        label = f" {label}"  # matplotlib leaves labels with a leading underscore out of the legend
    band = line.band
    longest = max(len(curve) for curve in line.curves)
    every = 1 if longest <= FEW else -(-longest // APART)
    marker = {"marker": shape, "markersize": 4, "markevery": every}
    if band is not None:
        epochs, means, least, greatest = zip(*band, strict=True)
        (handle,) = axes.plot(epochs, means, label=label, linewidth=1.5, color=colour, **marker)
        if len(line.curves) > 1:
            axes.fill_between(epochs, least, greatest, color=colour, alpha=0.18, linewidth=0)
    else:  # no mean over seeds that were measured at different epochs: draw each seed
        for curve in line.curves:
            x, y = zip(*curve, strict=True)
            (handle,) = axes.plot(x, y, label=label, linewidth=0.9, color=colour, **marker)
    if line.printed:
        x, y = zip(*line.printed, strict=True)
        axes.plot(x, y, color=colour, linewidth=1, linestyle="--", alpha=0.8)
    for curve, broken in zip(line.curves, line.broken, strict=True):
        if broken:
            axes.plot(*curve[-1], marker="x", markersize=8, markeredgewidth=2, color=colour)
    return handle


def line_series(
    lines: Sequence[Line], level: float | None = None, theirs: str = "", x: str = "epoch"
) -> list[Series]:
    """The drawn numbers, for programs."""
    found = []
    for line in lines:
        label = line.cell.label
        if (band := line.band) is not None:
            found.append(Series(label, (x, "mean", "least", "greatest"), tuple(band)))
        else:
            found += [Series(label, (x, "value"), curve) for curve in line.curves]
        if line.printed:
            found.append(Series(f"{label}, {theirs}", (x, "value"), line.printed))
    if level is not None:
        found.append(Series(CONTROL_LABEL, ("value",), ((level,),)))
    return found
