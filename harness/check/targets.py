"""Targets: bands in which a recipe's accuracies must lie, or minima that they must reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.check.cells import CellRuns, CurrentState, seconds, unusable
from harness.check.verdict import NEW_RUN, Judged, Verdict
from harness.recipe.schema import Target
from harness.report.protocol_lines import measured_words
from harness.report.runs import Run, RunOutcome
from harness.report.statistics import summarise


def against_targets(cells: Iterable[CellRuns], now: CurrentState) -> list[Verdict]:
    """Compare every target of every cell with its runs.

    A target is met if the mean over all seeds lies within its tolerance of its value (if it is a
    minimum, at most its tolerance below) and, at the end of training, above the untrained network's
    if that was measured too. Too high is no better than too low: leaking labels and easier
    protocols raise accuracies.
    """
    return [
        _judge(cell, target, now) for cell in cells for target in cell.runs[0].recipe.about.targets
    ]


def _judge(cell: CellRuns, target: Target, now: CurrentState) -> Verdict:
    under = target.task or ""
    outcomes = [_outcome(run, target) for run in cell.runs]
    floor = round(target.value - target.tolerance, 9)
    ceiling = None if target.minimum else round(target.value + target.tolerance, 9)
    when = "" if target.epoch is None else f"after epoch {target.epoch}: "
    band = f"{target.value:g} - {target.tolerance:g} = {floor:g}"
    if ceiling is not None:
        band = f"{target.value:g} ± {target.tolerance:g}, {floor:g} to {ceiling:g},"
    wanted = f"{when}{band} required ({target.source})"

    def say(judged: Judged, words: str, value: float | None = None) -> Verdict:
        return Verdict(
            recipe=cell.recipe,
            cell=cell.cell,
            metric=(f"{under}: " if under else "")
            + target.metric
            + (f" after epoch {target.epoch}" if target.epoch else ""),
            against="target",
            judged=judged,
            value=value,
            low=floor,
            high=ceiling,
            seeds=len(cell.runs),
            says=f"{words}; {wanted}",
            stages=seconds(cell, target.metric, under),
        )

    why = unusable(cell, target.metric, outcomes, now, under)
    if why is not None:
        unseen = any(outcome.detail == _unmonitored(target) for outcome in outcomes)
        words = f"{why[1]}; {NEW_RUN}" if unseen else why[1]
        return say("short" if why[0] == "diverged" else why[0], words)
    found = summarise([outcome.value for outcome in outcomes if outcome.value is not None])
    spread = "1 seed" if found.sd is None else f"± {found.sd:.2f}, {found.n} seeds"
    judged: Judged = "passed" if found.mean >= floor else "short"
    how = measured_words(cell.runs, target.metric, under)
    words = f"{found.mean:.2f} ({spread}){how}"
    if ceiling is not None and found.mean > ceiling:
        judged = "above"
        words += ", higher than the target's source expects: look for a leak or a changed protocol"
    low = cell.not_above(target.metric, outcomes, under, now.editions)
    if low and target.epoch is None:  # halfway a run may lie below it and come up again
        judged, words = "short", f"{words}, {low}"
    return say(judged, words, found.mean)


def _outcome(run: Run, target: Target) -> RunOutcome:
    """The run's result or, for a target at an epoch, its monitor's value at that epoch."""
    outcome = run.outcome(target.metric, target.task or "")
    if target.epoch is None or outcome.value is None:
        return outcome
    monitored = run.recipe.watch.knn_task if run.recipe.knn is None else None
    if target.task is not None and target.task != monitored:
        detail = f"tasks.{target.task} is not monitored: only a target without epoch fits it"
        return replace(outcome, standing="absent", value=None, detail=detail)
    seen = [value for epoch, value in run.curves.knn if epoch == target.epoch]
    if not seen:
        return replace(outcome, standing="absent", value=None, detail=_unmonitored(target))
    return replace(outcome, value=seen[0])


def _unmonitored(target: Target) -> str:
    return f"was not monitored after epoch {target.epoch}"
