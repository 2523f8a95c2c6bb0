"""How the accuracies of a table were measured, as lines to stand below it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.recipe.ablation import Metric
from harness.recipe.identity import spec
from harness.recipe.protocol_words import protocol_words
from harness.report.collect import Results
from harness.report.measures import measure
from harness.report.results_table import measured, weights_lines
from harness.report.runs import Run, Stage
from harness.report.tables import further_columns
from harness.spec.registry import task_of


def of_stage(run: Run, stage: Stage) -> str:
    """How the stage's accuracies are measured; "" if its task says nothing of it."""
    asked = spec(run.recipe, stage.name)
    section = asked.section(run.recipe)
    said = section.model_dump(mode="json") if section is not None else None
    data = asked.data(run.recipe).model_dump(mode="json")
    return protocol_words(asked.task, said, data, run.trained_on)


def of_metric(run: Run, metric: Metric, under: str = "") -> str:
    """As `of_stage`, for the stage that measures the metric; see Run.behind."""
    if metric not in task_of():  # a cost or a loss
        return ""
    return next((of_stage(run, stage) for stage in run.behind(metric, under)), "")


def measured_words(runs: Sequence[Run], metric: str, under: str = "") -> str:
    """ ", by ..., of ..." for a line of text: how it was measured, and of which given weights;
    "" if there is nothing to say."""
    ways = dict.fromkeys(of_metric(run, metric, under) for run in runs)
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
                if words := of_metric(run, metric, under):
                    ways.setdefault(words, {})[cell.label] = None
        what = f"{under}: {measure(metric).label}" if under else measure(metric).label
        for words, labels in ways.items():
            whose = f" of {', '.join(f'“{label}”' for label in labels)}" if len(ways) > 1 else ""
            whats.setdefault((whose, words), []).append(what)
    return [f"{', '.join(what)}{whose}: {words}" for (whose, words), what in whats.items()]
