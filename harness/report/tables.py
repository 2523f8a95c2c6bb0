"""A report's other tables: claims, sensitivity to the protocol, further tasks; and all that its
cells measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.recipe.ablation import Metric
from harness.recipe.reported import reported
from harness.report.claim_summary import WHOSE
from harness.report.claims import Judgement
from harness.report.collect import CellResult, Results
from harness.report.measures import variant_label
from harness.report.results_table import measured, measured_column, measurement, row_label
from harness.report.statistics import Summary
from harness.report.table import Column, Label, Mean, Measurement, Row, Table, Text, VerdictMark
from harness.spec.registry import task, task_of


def claims_table(judgements: list[Judgement]) -> Table:
    """Each claim with its source, its verdict and the evidence."""
    rows = [
        Row(
            (
                Text(each.claim.says),
                Text(WHOSE[each.claim.by]),
                VerdictMark(each.verdict, each.words),
                Text(each.evidence),
            ),
            f"claim-{each.claim.id}",
            key=each.claim.id,
        )
        for each in judgements
    ]
    columns = tuple(map(Column, ("claim", "whose", "verdict", "evidence")))
    return Table(columns, tuple(rows), cards=True)


def sensitivity_table(results: Results) -> Table | None:
    """Values at the other k and the other learning rates, mean over seeds; None if there are none.

    They show how far a number of the table depends on the protocol; none of them is a result.
    """
    shown = measured(results)
    names = sorted(
        {
            name
            for run in results.runs
            for kind in task_of().values()
            if kind in run.stages
            for name in run.stages[kind].values
            if "@" in name and name.partition("@")[0] in shown
        },
        key=_natural,
    )
    if not names:
        return None
    rows = []
    for cell in results.cells:
        means = [_variant(results, cell, name) for name in names]
        if any(each.summary for each in means):
            rows.append(Row((Label(cell.label), *means), emphasis=cell.is_control, key=cell.id))
    if not rows:  # all are stale
        return None
    heads = (Column(variant_label(name), align="right") for name in names)
    columns = [Column("cell", kind="label"), *heads]
    return Table(tuple(columns), tuple(rows), cards=True)


def _variant(results: Results, cell: CellResult, name: str) -> Mean:
    """The mean of one variant, e.g. "knn/top1@k20", over the seeds that have a result. The
    classifier of a variant may have diverged in some of them."""
    metric = next((m for m in task_of() if name.partition("@")[0] == m), results.metric)
    finished = [v.seed for v in results.values(cell, metric) if v.standing == "finished"]
    kind = task_of()[metric]
    found = [
        run.stages[kind].values[name]
        for run in cell.runs
        if run.seed in finished and kind in run.stages and name in run.stages[kind].values
    ]
    if not found:
        return Mean(None, len(finished))
    mean = sum(found) / len(found)
    return Mean(Summary(len(found), mean, None, None, None), len(finished))


def _natural(name: str) -> tuple[str, float, str]:
    """Sort key: knn/top1@k20 comes before knn/top1@k100."""
    metric, _, variant = name.partition("@")
    digits = variant.lstrip("abcdefghijklmnopqrstuvwxyz=_")
    try:
        return metric, float(digits), variant
    except ValueError:
        return metric, 0.0, variant


def further_columns(results: Results) -> list[tuple[Metric, str]]:
    """(metric, name under `tasks:`) of the runs' further tasks, except those that the table of
    results already has as a column."""
    return list(dict.fromkeys(_further(results)))


def _further(results: Results) -> Iterator[tuple[Metric, str]]:
    shown = set(measured(results))
    for run in results.runs:
        for name, said in run.recipe.tasks.items():
            for metric in reported(task(said.kind), said.data or run.recipe.data):
                main = run.behind(metric)
                if metric not in shown or not main or main[0].under != name:
                    yield metric, name


@dataclass(frozen=True)
class Measured:
    """A cell's results for one metric."""

    metric: Metric
    under: str
    """The name of a further task under `tasks:`; "" for a column of the table of results."""
    ours: Measurement
    control: Summary | None
    """The difference to the untrained network; None without one."""


def all_measured(results: Results, table: Table) -> list[list[Measured]]:
    """For each row of the table of results all that its cell's runs measured: the columns, then the
    further tasks."""
    further = further_columns(results)
    found = []
    for row, cell in zip(table.rows, results.cells, strict=True):
        columns = table.measurements(row).items()
        own = [Measured(each, "", ours, table.to_untrained(row, each)) for each, ours in columns]
        own += [
            Measured(
                metric,
                under,
                measurement(results, cell, metric, under),
                results.difference(cell, metric, under),
            )
            for metric, under in (further if cell.runs else ())
        ]
        found.append(own)
    return found


def further_table(results: Results) -> Table | None:
    """One row per cell, one column per further task and metric; None without any.

    A value is the mean over seeds of each seed's mean over its trials; n is the number of seeds.
    """
    wanted = further_columns(results)
    if not wanted:
        return None
    head = "run" if results.ablation is None else results.ablation.axis
    columns = [measured_column(metric, name) for metric, name in wanted]
    rows = [
        Row(
            (
                row_label(results, cell),
                *(measurement(results, cell, metric, name) for metric, name in wanted),
            ),
            emphasis=cell.is_control,
            key=cell.id,
        )
        for cell in results.cells
        if cell.runs
    ]
    return Table((Column(head, kind="label"), *columns), tuple(rows), cards=True)
