"""The trials of a task, dot by dot: a group for each cell, in it a column for each checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.recipe.ablation import Metric
from harness.recipe.reported import reported
from harness.report.blocks import Figure, Series
from harness.report.collect import CellResult, Results
from harness.report.colours import cell_colours
from harness.report.measures import measure
from harness.report.pictures import counted_trials
from harness.report.runs import Run
from harness.report.svg import INK, SIGNS_AN_INCH, drawing
from harness.spec.registry import task

WIDTH = 0.8
"""Of a cell's columns together; cells are 1 apart."""

Checkpoints = list[tuple[int, list[float]]]
"""By pre-training seed: the values of its trials."""


def trials_figures(results: Results) -> list[Figure]:
    """For each task of which a checkpoint has several trials: its first metric, trial by trial."""
    found = []
    names = dict.fromkeys(
        (u, said.kind) for r in results.runs for u, said in r.recipe.tasks.items()
    )
    for number, (under, kind) in enumerate(names, 1):
        runs = [run for run in results.runs if _has(run, under, kind)]
        data = runs[0].recipe.tasks[under].data or runs[0].recipe.data
        metric, *_ = reported(task(kind), data)
        cells = [
            (cell, own)
            for cell in results.cells
            if (own := _trials(results, cell, (under, kind), metric))
        ]
        if any(len(values) > 1 for _, own in cells for _, values in own):
            found.append(_figure(f"trials-{number}", under, metric, cells, results))
    return found


def _has(run: Run, under: str, kind: str) -> bool:
    """Whether the run has a task of this kind under that name; cells may differ in it."""
    return under in run.recipe.tasks and run.recipe.tasks[under].kind == kind


def _trials(results: Results, cell: CellResult, of: tuple[str, str], metric: Metric) -> Checkpoints:
    """Of the seeds that count; `of`: the task's name and kind."""
    runs = [run for run in cell.runs if _has(run, *of)]
    every = ((run.seed, counted_trials(results, run, of[0])) for run in runs)
    return [(seed, [s.values[metric] for s in stages]) for seed, stages in every if stages]


def _figure(
    name: str,
    under: str,
    metric: Metric,
    cells: Sequence[tuple[CellResult, Checkpoints]],
    results: Results,
) -> Figure:
    label = measure(metric).label
    said = (
        f"{under}: {label} by trial. Each dot is a trial, each column the trials of one "
        "checkpoint (a pre-training seed), its bar their mean, which is the seed's value. How far "
        "the dots of a column lie apart is of this checkpoint; verdicts compare the bars."
    )
    words = "; ".join(
        f"{cell.label}: " + ", ".join(f"seed {seed} {_range(values)}" for seed, values in own)
        for cell, own in cells
    )
    data = [
        Series(f"{cell.label}, seed {seed}", ("trial", "value"), tuple(enumerate(values)))
        for cell, own in cells
        for seed, values in own
    ]
    return Figure(name, _draw(name, metric, cells, results), said, f"{said} {words}", tuple(data))


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def _draw(
    name: str, metric: Metric, cells: Sequence[tuple[CellResult, Checkpoints]], results: Results
) -> str:
    colours = cell_colours(results)
    with drawing(name) as drawn:
        axes = drawn.axes
        for place, (cell, own) in enumerate(cells):
            colour = colours.get(cell.id, INK)  # the untrained network has none of its own
            step = WIDTH / len(own)
            for n, (_, values) in enumerate(own):
                x = place + (n - (len(own) - 1) / 2) * step
                axes.plot(
                    [x] * len(values), values, linestyle="none", marker="o", markersize=4,
                    alpha=0.7, color=colour,
                )  # fmt: skip
                mean = math.fsum(values) / len(values)
                reach = min(0.3 * step, 0.1)
                axes.plot([x - reach, x + reach], [mean, mean], linewidth=1.6, color=colour)
        labels = [cell.label for cell, _ in cells]
        crowded = (
            sum(len(each) + 2 for each in labels) > drawn.figure.get_figwidth() * SIGNS_AN_INCH
        )
        turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
        axes.set_xticks(range(len(cells)), labels, **turned)
        for text in axes.get_xticklabels():
            text.set_parse_math(False)  # a dollar sign in a label is no math
        axes.set_xlim(-0.6, len(cells) - 0.4)
        axes.set_ylabel(f"{measure(metric).label}, {measure(metric).unit}", labelpad=8)
        return drawn.svg()
