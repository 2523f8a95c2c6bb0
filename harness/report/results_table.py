"""The table of results: the paper's numbers, ours beside them, and the differences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.recipe.ablation import CONTROL, Ablation, Metric
from harness.recipe.knn_words import DIGITS
from harness.report.collect import CellResult, Results
from harness.report.measures import COSTS, difference_unit, measure
from harness.report.runs import Run
from harness.report.scale import changes_text, is_papers_scale, is_run
from harness.report.statistics import Summary, summarise
from harness.report.table import (
    Cell,
    Column,
    Difference,
    Label,
    Mean,
    Measurement,
    Printed,
    Row,
    Table,
)
from harness.spec.registry import task_of

PRETEXT = "pretext/top1"


def results_table(results: Results) -> Table:
    """One row per cell: the paper's numbers, our column(s), the differences; the controls below.

    At the scale of the printed numbers, it also shows the difference between ours and the paper's.
    """
    made = [*_printed(results), *_ours(results), *_pretext(results)]
    head = results.ablation.axis if results.ablation else "recipe"
    rows = [
        Row(
            (row_label(results, cell), *(cells[n] for _, cells in made)),
            f"cell-{cell.id}",
            emphasis=cell.is_control,
            key=cell.id,
            in_paper=results.ablation is None or results.ablation.cell(cell.id) is not None,
        )
        for n, cell in enumerate(results.cells)
    ]
    columns = (Column(head, kind="label"), *(column for column, _ in made))
    return Table(columns, tuple(rows), cards=True)


Filled = tuple[Column, list[Cell]]
"""A column, and its cells in the order of the rows."""


def _printed(results: Results) -> Iterable[Filled]:
    """The table's printed metric, then the other columns that the paper prints."""
    ablation = results.ablation
    if ablation is None or ablation.metric is None:
        return
    column = measured_column(ablation.metric, "paper")
    yield replace(column, kind="printed"), [_number(ablation, cell) for cell in results.cells]
    for beside in ablation.columns:
        yield (
            Column(beside.label, beside.units, "paper", "printed beside", align="right",
                   metric=beside.metric, awaits=beside.awaits),
            [Printed(beside.values.get(cell.id)) for cell in results.cells],
        )  # fmt: skip


def _number(ablation: Ablation, cell: CellResult) -> Printed:
    row = ablation.cell(cell.id)
    runs = summarise(row.printed_runs) if row is not None and row.printed_runs else None
    return Printed(cell.printed, bool(ablation.uncertainty), runs)


def _ours(results: Results) -> Iterable[Filled]:
    """For each metric our values, and their differences from the paper and from the untrained
    network."""
    against = results.ablation.metric if results.ablation and is_papers_scale(results) else None
    for metric in measured(results):
        column = measured_column(metric, "ours")
        if names := _tasks_elsewhere(results, metric):
            column = replace(column, label=f"{column.label} ({', '.join(names)})")
        yield column, [measurement(results, cell, metric) for cell in results.cells]
        difference = replace(column, group="", unit=difference_unit(metric))
        if metric == against:
            yield (
                replace(difference, label="to the paper", kind="to the paper"),
                [Difference(_to_the_paper(results, cell, metric)) for cell in results.cells],
            )
        control = results.cell(CONTROL)
        if control is not None and any(run.behind(metric) for run in control.runs):
            yield (
                replace(difference, label="to untrained", kind="to untrained"),
                [Difference(results.difference(cell, metric)) for cell in results.cells],
            )


def _tasks_elsewhere(results: Results, metric: Metric) -> list[str]:
    """The tasks that measure the metric on other data than the runs', where no section of its own
    does."""
    behind = [stage for run in results.runs for stage in run.behind(metric) if stage.own_data]
    return list(dict.fromkeys(stage.under for stage in behind))


def measured_column(metric: Metric, group: str) -> Column:
    """A column of our values of a metric, from the metric's declaration."""
    declared = measure(metric)
    return Column(
        declared.label, declared.unit, group, "measured", metric, declared.better, "right"
    )


def measured(results: Results) -> list[Metric]:
    """The table's metric first, then every other metric that a run has; costs only if the table
    needs them."""
    columns = results.ablation.columns if results.ablation is not None else ()
    accuracies = () if results.metric in COSTS else task_of()
    others = [
        metric
        for metric in dict.fromkeys(
            (*accuracies, *(column.metric for column in columns if column.metric))
        )
        if metric != results.metric
        and any(run.outcome(metric).value is not None for run in results.runs)
    ]
    # of a task's metrics, the one that the data set is published with comes first
    return [results.metric, *sorted(others, key=lambda metric: not measure(metric).data_metric)]


def row_label(results: Results, cell: CellResult) -> Label:
    """The row's name, the scale's own changes to the cell, and given weights."""
    here = results.scale.set_cells.get(cell.id) if results.scale is not None else None
    changed = changes_text(here) if here and cell.runs else ""
    return Label(cell.label, changed, _weights(cell))


def _weights(cell: CellResult) -> tuple[str, ...]:
    """One line per file or run of initial weights of the cell's runs, with its digest."""
    return tuple(dict.fromkeys(line for run in cell.runs for line in weights_lines(run)))


def weights_lines(run: Run) -> list[str]:
    """The file or run of the run's initial weights, with its digest; [] for random ones."""
    given = run.given
    if not given:
        return []
    digests = [f"{k} {given[k][:DIGITS]}" for k in ("sha256", "md5") if k in given]
    what = "continues" if run.recipe.continue_from is not None else "weights:"
    return [", ".join([f"{what} {given.get('file') or given['run']}", *digests])]


def measurement(results: Results, cell: CellResult, metric: Metric, task: str = "") -> Measurement:
    """The cell's results for the metric.

    Args:
        task: a task under the recipe's `tasks:`; see Run.behind.
    """
    behind = [stage for run in cell.runs for stage in run.behind(metric, task)]
    return Measurement(
        summary=results.summary(cell, metric, task),
        seeds=tuple(results.values(cell, metric, task)),
        protocol=results.protocol(cell, metric, task),
        deviates=not task and bool(results.protocol_deviation(cell, metric)),
        stages=tuple(stage.id for stage in behind),
        target=cell.runs[0].anchor if cell.runs else "",
        can_run=is_run(results.ablation, cell.id),
        trials=max((len(run.behind(metric, task)) for run in cell.runs), default=1) or 1,
    )


def _to_the_paper(results: Results, cell: CellResult, metric: Metric) -> Summary | None:
    """Our mean minus the printed number. None if one is missing or was measured by another
    protocol."""
    found = results.summary(cell, metric)
    deviates = results.protocol_deviation(cell, metric)
    if found is None or not isinstance(cell.printed, float) or deviates:
        return None
    return Summary(found.n, found.mean - cell.printed, found.sd, None, None)


def _pretext(results: Results) -> Iterable[Filled]:
    """Accuracy of the pretext task at the end of training, for a table with a claim about it, over
    the same seeds as the table (v1 Fig. A.1)."""
    ablation = results.ablation
    if ablation is None or not any(
        getattr(claim, "metric", None) == PRETEXT for claim in ablation.claims
    ):
        return
    column = replace(measured_column(PRETEXT, "ours"), kind="other")
    yield column, [_pretext_mean(results, cell) for cell in results.cells]


def _pretext_mean(results: Results, cell: CellResult) -> Mean:
    counted = {v.seed for v in results.values(cell) if v.standing == "finished"}
    found = [
        value
        for run in cell.runs
        if run.seed in counted and (value := run.stages["pretrain"].values.get(PRETEXT)) is not None
    ]
    target = cell.runs[0].anchor if found else ""
    return Mean(summarise(found) if found else None, len(cell.runs), target=target)
