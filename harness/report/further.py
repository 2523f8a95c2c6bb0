"""The tasks under a recipe's `tasks:` as a table of their own."""

from __future__ import annotations

from harness.recipe.ablation import Metric
from harness.report.blocks import Row, Table, Text
from harness.report.collect import CellResult, Results
from harness.report.setting import NAMES, UNITS
from harness.report.tables import NOTHING, label, measured
from harness.spec.registry import task

Column = tuple[Metric, str]
"""(metric, the task's name under `tasks:`)."""


def further(results: Results) -> list[Column]:
    """What the runs' further tasks report, but for what the main table has a column of."""
    shown = set(measured(results))
    found: dict[Column, None] = {}
    for run in results.runs:
        for name, said in run.recipe.tasks.items():
            for metric in task(said.kind).reported:
                main = run.behind(metric)
                if metric not in shown or not main or main[0].under != name:
                    found[metric, name] = None
    return list(found)


def further_table(results: Results) -> Table | None:
    """A row for each cell, a column for each task and metric; None without further tasks.

    A value is the mean over seeds of each seed's mean over its trials; seeds are what is counted.
    """
    columns = further(results)
    if not columns:
        return None
    head = ["run" if results.ablation is None else results.ablation.axis]
    head += [f"{name}\n{NAMES[metric]}, {UNITS[metric]}" for metric, name in columns]
    rows = [
        Row(
            (
                Text(label(results, cell)),
                *(Text(_text(results, cell, metric, name)) for metric, name in columns),
            ),
            emphasis=cell.is_control,
        )
        for cell in results.cells
        if cell.runs
    ]
    return Table(tuple(head), tuple(rows), frozenset(range(1, len(head))), cards=True)


def _text(results: Results, cell: CellResult, metric: Metric, name: str) -> str:
    found = results.summary(cell, metric, name)
    values = results.values(cell, metric, name)
    others = [v for v in values if v.standing != "finished"]
    lines = [f"{v.standing}: {v.detail}" if v.detail else v.standing for v in others]
    if found is None:
        return "\n".join(dict.fromkeys(lines)) or NOTHING
    trials = max(len(run.behind(metric, name)) for run in cell.runs)
    each = f", {trials} trials each" if trials > 1 else ""
    spread = f" ± {found.sd:.2f}" if found.sd is not None else ""
    seeds = "1 seed" if found.n == 1 else f"{found.n} seeds"
    return "\n".join([f"{found.mean:.2f}{spread} ({seeds}{each})", *dict.fromkeys(lines)])
