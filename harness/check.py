"""`check`: whether the recipes still reach their targets, by finished runs of the present code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import clause
from harness.recipe.schema import Recipe, Target
from harness.report.runs import METRIC_STAGE, Outcome, Run, read_run
from harness.report.statistics import summarise
from harness.store.edition import edition

if TYPE_CHECKING:
    from harness.recipe.expand import Expansion

Judged = Literal["passed", "short", "stale", "missing"]


@dataclass(frozen=True)
class Verdict:
    """One target held against the runs."""

    cell: str
    """The ablation's cell; the recipe's name for a single recipe."""
    target: Target
    judged: Judged
    value: float | None
    """Mean over the seeds, in percent; None unless every seed finished."""
    seeds: int
    says: str
    """The numbers and states in words, for a person."""

    @property
    def passed(self) -> bool:
        return self.judged == "passed"


def check(what: Expansion | Recipe, runs: Path, *, installed: str | None = None) -> list[Verdict]:
    """Hold every target against the runs under `runs`.

    A target is met if the mean over all seeds is at least its value less its tolerance:

    - passed, short: every seed has a result of the present edition; a diverged seed is short.
    - stale: some seed's result is of another edition of the code or of other weights than its
      pre-training now has, or the seeds' data differ.
    - missing: some seed has no result (absent, running, interrupted, failed or damaged).

    Args:
        what: an expanded ablation, whose members carry their cell's targets, or one recipe.
        runs: the run root.
        installed: the present edition; None: compute it.
    """
    if isinstance(what, Recipe):
        members = [(what.name, what.seed, what)]
    else:
        members = [(member.cell, member.seed, member.recipe) for member in what.members]
    cells: dict[str, list[tuple[int, Recipe]]] = {}
    for cell, seed, recipe in members:
        cells.setdefault(cell, []).append((seed, recipe))
    present = installed if installed is not None else edition()
    verdicts = []
    for cell, of_cell in cells.items():
        targets = of_cell[0][1].about.targets
        if targets:
            found = [read_run(cell, seed, recipe, runs) for seed, recipe in of_cell]
            verdicts += [_judge(cell, target, found, present) for target in targets]
    return verdicts


def _judge(cell: str, target: Target, runs: list[Run], present: str) -> Verdict:
    outcomes = [(run.seed, _outcome(run, target)) for run in runs]
    floor = target.value - target.tolerance
    when = "" if target.epoch is None else f"after epoch {target.epoch}: "
    wanted = f"{when}{target.value:g} - {target.tolerance:g} = {floor:g} wanted ({target.source})"

    def say(judged: Judged, words: str, value: float | None = None) -> Verdict:
        return Verdict(cell, target, judged, value, len(runs), f"{words}; {wanted}")

    stale = [
        f"seed {seed}: {_number(outcome)} {why}"
        for seed, outcome in outcomes
        if _has_result(outcome) and (why := outcome.why_stale(present))
    ]
    if stale:
        return say("stale", f"{', '.join(stale)}; the present edition is {present}")
    missing = [
        f"seed {run.seed} {_without(run, target, outcome)}"
        for run, (_, outcome) in zip(runs, outcomes, strict=True)
        if not _has_result(outcome)
    ]
    if missing:
        return say("missing", ", ".join(missing))
    prints = sorted({print_ for _, outcome in outcomes for print_ in outcome.fingerprints})
    if len(prints) > 1:
        return say("stale", f"the runs saw different data ({', '.join(prints)})")
    broken = [f"seed {seed} {o.standing} ({o.detail})" for seed, o in outcomes if o.value is None]
    if broken:
        return say("short", ", ".join(broken))
    found = summarise([outcome.value for _, outcome in outcomes if outcome.value is not None])
    spread = "1 seed" if found.sd is None else f"± {found.sd:.2f}, {found.n} seeds"
    judged: Judged = "passed" if found.mean >= round(floor, 9) else "short"
    return say(judged, f"{found.mean:.2f} ({spread})", found.mean)


def _outcome(run: Run, target: Target) -> Outcome:
    """The run's result or, for a target of an epoch, what its monitor saw then."""
    outcome = run.outcome(target.metric)
    if target.epoch is None or outcome.value is None:
        return outcome
    seen = [value for epoch, value in run.curves.knn if epoch == target.epoch]
    if not seen:
        return replace(outcome, standing="absent", value=None)
    return replace(outcome, value=seen[0])


def _without(run: Run, target: Target, outcome: Outcome) -> str:
    """Why there is no result; of one that failed or broke off also where to read on."""
    if outcome.standing == "absent":
        return "not run"
    if outcome.standing not in ("failed", "interrupted"):
        return outcome.standing
    chain = ("pretrain", METRIC_STAGE[target.metric])
    broken = (run.stages[kind] for kind in chain if kind in run.stages)
    stage = next(stage for stage in broken if stage.state == outcome.standing)
    why = f": {clause(outcome.detail)}" if outcome.detail else ""
    return f"{outcome.standing}{why}, see moco-harness logs {stage.id}"


def _has_result(outcome: Outcome) -> bool:
    return outcome.standing in ("finished", "diverged", "probe diverged")


def _number(outcome: Outcome) -> str:
    return outcome.standing if outcome.value is None else f"{outcome.value:.2f}"
