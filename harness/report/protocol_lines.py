"""How the accuracies of a table were measured, as lines to stand below it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.recipe.ablation import Metric
from harness.recipe.draw_words import interval_words
from harness.recipe.identity import spec
from harness.recipe.protocol_words import protocol_words
from harness.report.collect import Results
from harness.report.measures import measure
from harness.report.results_table import measured, weights_lines
from harness.report.runs import Run, Stage
from harness.report.table_text import quoted
from harness.report.tables import further_columns
from harness.spec.registry import task_of

MOST = 20
"""Most runs whose interval over draws is listed; the CSV files have all of them."""


def of_stage(run: Run, stage: Stage) -> str:
    """How the stage's accuracies are measured; "" if its task says nothing of it."""
    asked = spec(run.recipe, stage.name)
    section = asked.section(run.recipe)
    said = section.model_dump(mode="json") if section is not None else None
    data = asked.data(run.recipe).model_dump(mode="json")
    return protocol_words(asked.task, said, data, run.trained_on)


def holds(results: Results, run: Run, stage: Stage) -> bool:
    """Whether the stage's result is finished and of the table's code and data."""
    return any(
        results.value(run, metric, stage.under).standing == "finished" for metric in stage.reported
    )


def interval_of(run: Run, stage: Stage) -> str:
    """The interval over the draws of a finished stage; "" if it has none."""
    section = run.recipe.tasks.get(stage.under)
    if section is None or stage.state != "finished":
        return ""
    return interval_words(section.model_dump(mode="json"), stage.values)


def stage_words(run: Run, stage: Stage, *, interval: bool) -> str:
    """How the stage's accuracies are measured and, where it has draws, its interval over them.

    Args:
        interval: whether its result holds, so that the interval may be told.
    """
    over = interval_of(run, stage) if interval else ""
    return "; ".join(filter(None, (of_stage(run, stage), over)))


def metric_words(run: Run, metric: Metric, under: str = "", *, interval: bool) -> str:
    """As `stage_words`, for the stage that measures the metric."""
    if metric not in task_of():
        return ""
    behind = run.behind(metric, under)
    return next((stage_words(run, stage, interval=interval) for stage in behind), "")


def of_metric(run: Run, metric: Metric, under: str = "") -> str:
    """As `of_stage`, for the stage that measures the metric; see Run.behind."""
    if metric not in task_of():  # a cost or a loss
        return ""
    behind = run.behind(metric, under)
    return next((of_stage(run, stage) for stage in behind), "")


def measured_words(runs: Sequence[Run], metric: str, under: str = "") -> str:
    """ ", by ..., of ..." for a line of text: how it was measured, and of which given weights;
    "" if there is nothing to say. The runs' results hold."""
    ways = dict.fromkeys(metric_words(run, metric, under, interval=True) for run in runs)
    lines = dict.fromkeys(line for run in runs for line in weights_lines(run))
    return "".join(f", {words}" for words in (*ways, *lines) if words)


def protocol_lines(results: Results) -> list[str]:
    """A line for each way to measure, with the metrics and, of a metric that is measured in several
    ways, the cells concerned."""
    whats: dict[tuple[str, str], list[str]] = {}
    for metric, under in [*((each, "") for each in measured(results)), *further_columns(results)]:
        ways: dict[str, dict[str, None]] = {}
        for cell in results.cells:
            for run in cell.runs:
                made = any(stage.state != "absent" for stage in run.behind(metric, under))
                if made and (words := of_metric(run, metric, under)):
                    ways.setdefault(words, {})[cell.label] = None
        what = f"{under}: {measure(metric).label}" if under else measure(metric).label
        for words, labels in ways.items():
            whose = f" of {quoted(labels)}" if len(ways) > 1 else ""
            whats.setdefault((whose, words), []).append(what)
    lines = [f"{', '.join(what)}{whose}: {words}" for (whose, words), what in whats.items()]
    return lines + _intervals(results)


def _intervals(results: Results) -> list[str]:
    """A line for each stage with draws whose result holds: its interval over them."""
    found = [
        f"{run.name}, {stage.name}: {words}"
        for run in results.runs
        for stage in run.stages.values()
        if holds(results, run, stage) and (words := interval_of(run, stage))
    ]
    more = [f"... and {len(found) - MOST} more runs with draws"] if len(found) > MOST else []
    return [*found[:MOST], *more]
