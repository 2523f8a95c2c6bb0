"""How far several trials of a task on one checkpoint differ, as lines to stand below a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness.recipe.ablation import Metric
from harness.report.collect import CellResult, Results
from harness.report.measures import difference_unit, measure
from harness.report.results_table import measured
from harness.report.statistics import CONFIDENCE, summarise
from harness.report.table import finished
from harness.report.tables import further_columns


def trial_lines(results: Results) -> list[str]:
    """A line for each metric with several trials for a pre-training; [] without any.

    The trials say nothing of another pre-training, so no verdict rests on their number.
    """
    lines = []
    for metric, under in [*((each, "") for each in measured(results)), *further_columns(results)]:
        said = [
            f"“{cell.label}” {words}"
            for cell in results.cells
            if (words := _spread(_by_checkpoint(results, cell, metric, under)))
        ]
        if said:
            what = f"{under}: {measure(metric).label}" if under else measure(metric).label
            lines.append(
                f"{what}: a seed's value is the mean of its trials. Deviation between trials of "
                f"one checkpoint, in {difference_unit(metric)}: {', '.join(said)}. What trials say "
                "is of this checkpoint, and of no other pre-training"
            )
    return lines


def _by_checkpoint(
    results: Results, cell: CellResult, metric: Metric, under: str
) -> Iterator[list[float]]:
    """The trials' values of each seed that counts, where there are several."""
    seeds = finished(results.values(cell, metric, under))
    for run in cell.runs:
        trials = [stage.values[metric] for stage in run.behind(metric, under) if run.seed in seeds]
        if len(trials) > 1:
            yield trials


def _spread(found: Iterator[Sequence[float]]) -> str:
    """The sample deviation between trials, pooled over the checkpoints, and the interval of the
    mean where there is only one; "" of none."""
    checkpoints = [summarise(trials) for trials in found]
    if not checkpoints:
        return ""
    squares = math.fsum((each.n - 1) * (each.sd or 0.0) ** 2 for each in checkpoints)
    pooled = math.sqrt(squares / sum(each.n - 1 for each in checkpoints))
    if len(checkpoints) > 1:
        return f"{pooled:.2f}"
    (one,) = checkpoints
    return f"{pooled:.2f} ({CONFIDENCE:.0%} interval of the mean {one.low:.2f} to {one.high:.2f})"
