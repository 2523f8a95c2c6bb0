"""How the accuracies of a table were measured by kNN, or over draws, as lines to stand below it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.recipe.ablation import Metric
from harness.recipe.draw_words import interval_words, protocol_words
from harness.recipe.draws import DrawnTask
from harness.recipe.evaluation import Knn
from harness.recipe.identity import spec
from harness.recipe.knn_words import knn_words
from harness.report.collect import Results
from harness.report.measures import measure
from harness.report.results_table import measured, weights_lines
from harness.report.runs import Run, Stage
from harness.report.tables import further_columns
from harness.spec.registry import task_of

MOST = 20
"""Most runs whose interval over draws is listed; the CSV files have all of them."""


def of_stage(run: Run, stage: Stage, *, intervals: bool = True) -> str:
    """Of kNN: bank, layer, k and temperature, and whether the bank was pre-trained on. Of a task
    with draws: k, C and the number of draws; with `intervals`, also the run's own interval over
    draws. Else ""."""
    asked = spec(run.recipe, stage.name)
    section = asked.section(run.recipe)
    if isinstance(section, DrawnTask):
        drawn = section.model_dump(mode="json")
        own = interval_words(drawn, stage.values) if intervals else ""
        return "; ".join(filter(None, (protocol_words(drawn), own)))
    if not isinstance(section, Knn):
        return ""
    said, data = section.model_dump(mode="json"), asked.data(run.recipe).model_dump(mode="json")
    return knn_words(said, data, run.trained_on)


def of_metric(run: Run, metric: Metric, under: str = "", *, intervals: bool = True) -> str:
    """As `of_stage`, for the stage that measures the metric; see Run.behind."""
    if metric not in task_of():  # a cost or a loss
        return ""
    behind = run.behind(metric, under)
    return next((of_stage(run, stage, intervals=intervals) for stage in behind), "")


def measured_words(runs: Sequence[Run], metric: str, under: str = "") -> str:
    """ ", by ..., of ..." for a line of text: how kNN was measured, and which given weights were;
    "" if there is nothing to say."""
    ways = dict.fromkeys(of_metric(run, metric, under) for run in runs)
    lines = dict.fromkeys(line for run in runs for line in weights_lines(run))
    return "".join(f", {words}" for words in (*ways, *lines) if words)


def knn_lines(results: Results) -> list[str]:
    """A line for each metric and each way to measure it, with the cells concerned if there are
    several ways."""
    lines = []
    for metric, under in [*((each, "") for each in measured(results)), *further_columns(results)]:
        ways: dict[str, dict[str, None]] = {}
        for cell in results.cells:
            for run in cell.runs:
                if words := of_metric(run, metric, under, intervals=False):
                    ways.setdefault(words, {})[cell.label] = None
        what = f"{under}: {measure(metric).label}" if under else measure(metric).label
        for words, labels in ways.items():
            whose = f" of {', '.join(f'“{label}”' for label in labels)}" if len(ways) > 1 else ""
            lines.append(f"{what}{whose}: {words}")
    return lines + _intervals(results)


def _intervals(results: Results) -> list[str]:
    """A line for each finished stage with draws: its interval over them."""
    found = []
    for run in results.runs:
        for stage in run.stages.values():
            section = run.recipe.tasks.get(stage.under)
            if isinstance(section, DrawnTask) and stage.state == "finished":
                words = interval_words(section.model_dump(mode="json"), stage.values)
                found += [f"{run.name}, {stage.name}: {words}"] if words else []
    more = [f"... and {len(found) - MOST} more runs with draws"] if len(found) > MOST else []
    return [*found[:MOST], *more]
