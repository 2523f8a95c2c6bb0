"""Which C logistic regression chose, as lines below the table."""

from __future__ import annotations

from harness.recipe.evaluation import Logistic
from harness.recipe.logistic_words import remarks
from harness.report.collect import Results
from harness.report.curves import is_number
from harness.report.protocol_lines import holds
from harness.report.runs import Run, Stage

MOST = 20
"""Most choices of C that are listed; results.json and the journals have all of them."""


def logistic_lines(results: Results) -> list[str]:
    """A line for each choice of C; [] without one."""
    choices: dict[str, None] = {}
    for run in results.runs:
        for stage in run.stages.values():
            section = run.recipe.tasks.get(stage.under)
            if not isinstance(section, Logistic) or not holds(results, run, stage):
                continue
            if said := _choice(run, stage, section):
                choices[said] = None
    shown = list(choices)[:MOST]
    more = [f"... and {len(choices) - MOST} more choices of C."] if len(choices) > MOST else []
    return [*shown, *more]


def _choice(run: Run, stage: Stage, section: Logistic) -> str:
    """The chosen C of a stage, with the accuracies that decided; "" if there is none."""
    values, result = stage.values, stage.entry.result or {}
    c = values.get("logistic/c")
    if c is None or len(section.c) == 1:
        return ""
    tried = [(each, values.get(f"logistic/validation@c{each:g}")) for each in section.c]
    seen = ", ".join(f"{each:g}: {value:.2f}" for each, value in tried if value is not None)
    noted = result.get("logistic")
    lost = noted.get("unconverged") if isinstance(noted, dict) else None
    unconverged = [x for x in lost if is_number(x)] if isinstance(lost, list) else []
    notes = "".join(f"; {said}" for said in remarks(section.c, c, unconverged))
    return f"{run.name}, {stage.name}: C = {c:g} (validation, in %: {seen}){notes}."
