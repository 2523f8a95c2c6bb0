"""Precision over recall of what each start's detector finds: one line per cell, mean over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from harness.errors import StoreError
from harness.report.blocks import Figure
from harness.report.collect import CellResult, Results
from harness.report.colours import cell_colours
from harness.report.curves import Point
from harness.report.curves_figure import Line, add_line, line_series
from harness.report.pictures import counted_trials
from harness.report.runs import Run
from harness.report.svg import INK, drawing
from harness.store.precision_recall import FOUND, MARKED, PrecisionRecall, read

RULES = dict(zip(MARKED, ("VOC 2007's", "COCO's"), strict=True))
OVERLAPS = ("0.50", "0.75")

Kept = list[tuple[CellResult, Run, list[PrecisionRecall]]]
"""The curves of a task, by the runs that count: one for each trial."""


def precision_recall_figures(results: Results) -> tuple[list[Figure], list[str]]:
    """For each task that detects, its figures: by what is found and the overlap from which it
    counts. Then a note for each run whose curves cannot be shown."""
    figures, notes = [], []
    names = dict.fromkeys(name for run in results.runs for name in run.recipe.tasks)
    for number, under in enumerate(names, 1):
        kept, lost = _kept(results, under)
        notes += lost
        rules = {each.marked for _, _, trials in kept for each in trials}
        for marked, what, at in product(sorted(rules), FOUND, OVERLAPS):
            if lines := _lines(kept, marked, what, at):
                name = f"precision-recall-{number}-{marked}-{what}-{at[2:]}"
                figures.append(_figure(name, lines, (under, marked, what, at), results))
    return figures, notes


def _kept(results: Results, under: str) -> tuple[Kept, list[str]]:
    found: Kept = []
    notes = []
    for cell in results.cells:
        for run in cell.runs:
            try:
                trials = [
                    made
                    for stage in counted_trials(results, run, under)
                    if (made := read(stage.entry.folder.path, stage.entry.result or {}))
                ]
            except StoreError as error:
                what = str(error).rpartition("/")[2]
                notes.append(f"No precision over recall of {run.name}: {what}.")
                continue
            if trials:
                found.append((cell, run, trials))
    return found, notes


def _lines(kept: Kept, marked: int, what: str, at: str) -> list[Line]:
    """The cells' lines; a seed's curve is the mean over its trials, as its AP is."""
    found: dict[str, tuple[CellResult, list[tuple[Point, ...]]]] = {}
    for cell, _, trials in kept:
        own = [
            t.curves[what][at]
            for t in trials
            if t.marked == marked and at in t.curves.get(what, {})
        ]
        if own and len(own) == len(trials):
            means = [100 * math.fsum(each) / len(own) for each in zip(*own, strict=True)]
            points = tuple((100 * n / (len(means) - 1), mean) for n, mean in enumerate(means))
            found.setdefault(cell.id, (cell, []))[1].append(points)
    return [Line(cell, tuple(curves), (False,) * len(curves)) for cell, curves in found.values()]


def _figure(
    name: str, lines: Sequence[Line], which: tuple[str, int, str, str], results: Results
) -> Figure:
    under, marked, what, at = which
    said = f"{under}: precision over recall of {what} at an overlap of {at}, mean over classes, "
    said += "trials and seeds"
    if any(len(line.curves) > 1 for line in lines):
        said += ", band from minimum to maximum over seeds"
    mean = f"{RULES[marked]} AP{at[2:]} is the mean precision at {marked} recalls"
    said += f". {mean}, the dots." if marked < max(MARKED) else f". {mean}."
    words = "; ".join(f"{line.cell.label} {_area(line, marked):.1f} %" for line in lines)
    alt = f"{said} By row: {words}"
    return Figure(
        name, _draw(name, lines, marked, results), said, alt, tuple(line_series(lines, x="recall"))
    )


def _marks(curve: Sequence[Point], marked: int) -> Sequence[Point]:
    return curve[:: (len(curve) - 1) // (marked - 1)]


def _area(line: Line, marked: int) -> float:
    """The average precision in percent, mean over seeds."""
    every = [y for curve in line.curves for _, y in _marks(curve, marked)]
    return math.fsum(every) / len(every)


def _draw(name: str, lines: Sequence[Line], marked: int, results: Results) -> str:
    colours = cell_colours(results)
    with drawing(name) as drawn:
        axes, handles = drawn.axes, []
        for line in lines:
            colour = colours.get(line.cell.id, INK)  # the untrained network has none of its own
            handles.append(add_line(axes, line, colour, ""))
            if marked < max(MARKED):
                for x, y in _marks([(x, mean) for x, mean, *_ in line.band or ()], marked):
                    axes.plot(x, y, marker="o", markersize=4, color=colour)
        axes.set_xlim(0, 102)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("recall, %")
        axes.set_ylabel("precision, %", labelpad=8)
        drawn.legend(handles)
        return drawn.svg()
