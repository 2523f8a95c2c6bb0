"""What a reader of collected results must know before the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.recipe.reported import is_measured, reported
from harness.report.evaluation_protocol import protocol_text
from harness.spec.registry import task, task_of

if TYPE_CHECKING:
    from harness.report.collect import Results


def warnings_of(results: Results) -> list[str]:
    """Warnings of its runs, of cells with another protocol, and of stale results."""
    measured = (m for m in task_of() if any(is_measured(m, r.recipe.data) for r in results.runs))
    shared, metrics = results.comparability, dict.fromkeys((*measured, results.metric))
    found = [warning for run in results.runs for warning in run.warnings]
    found += [
        f"{cell.label} has another protocol than most of the column ({metric}: "
        f"{protocol_text(other)}), so it is not compared with other cells."
        for metric in metrics
        for cell in results.cells
        if (other := results.protocol_deviation(cell, metric))
    ]
    if shared is None:
        return found
    stale = []
    for run in results.runs:
        further = [
            name
            for name, said in run.recipe.tasks.items()
            if any(
                results.value(run, m, name).standing == "stale"
                for m in reported(task(said.kind), said.data or run.recipe.data)
            )
        ]
        if results.stale_training(run) or any(
            results.value(run, metric).standing == "stale" for metric in metrics
        ):
            stale.append(run.name)
        elif further:
            stale.append(f"{' and '.join(further)} of {run.name}")
    if stale:
        found.insert(
            0,
            f"Stale: {', '.join(stale)}. These results are copies, or differ from the table in "
            f"edition of the code ({shared.editions}), data, device or schema version, or their "
            "weights or data changed since; they are excluded from means, differences and "
            "verdicts.",
        )
    if any(e != results.installed[what] for what, e in shared.editions.by_subject.items()):
        found.insert(
            0,
            f"All numbers come from edition {shared.editions}; the installed code is edition "
            f"{results.installed}, so `check` reports them as stale.",
        )
    return found
