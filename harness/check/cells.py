"""The runs that are checked: all seeds of one recipe, or of one cell of an ablation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.command import Commands
from harness.errors import clause
from harness.recipe.claims import CONTROL
from harness.recipe.expand import Member
from harness.report.curves import share
from harness.report.evaluation_protocol import protocol_of
from harness.report.read_run import mark_copies, read_run
from harness.report.runs import LOSS, Run, RunOutcome, Stage
from harness.report.untrained import not_above
from harness.spec.registry import task_of
from harness.store.edition import Editions
from harness.store.stale import CheckInput

if TYPE_CHECKING:
    Measured = str
else:
    Measured = Literal[*task_of(), LOSS]
"""A metric to check: a task's reported metric, or the last epoch's mean loss in nats."""


@dataclass(frozen=True)
class CellRuns:
    """A cell and the runs on disk of each of its seeds."""

    recipe: str
    """The recipe's or ablation recipe's name."""
    cell: str
    runs: tuple[Run, ...]
    untrained: tuple[Run, ...] = ()
    """The runs of the untrained network beside them, if there are any."""

    def not_above(
        self, metric: Measured, outcomes: Sequence[RunOutcome], under: str, now: Editions
    ) -> str:
        """In words, that the mean over the seeds is not above the untrained network's; "" if it is,
        or if there is none of the present editions, on the same data and by the same protocol.

        Args:
            outcomes: of the metric, one for each run.
            under: see Run.behind.
        """
        if metric not in task_of():
            return ""
        theirs = {run.seed: run for run in self.untrained}
        pairs = []
        for run, outcome in zip(self.runs, outcomes, strict=True):
            control = theirs.get(run.seed)
            if control is None or outcome.value is None:
                continue
            if protocol_of(run.recipe, metric, under) != protocol_of(control.recipe, metric, under):
                continue
            beside = control.outcome(metric, under)
            if (
                beside.fingerprints != outcome.fingerprints
                or beside.own_fingerprints != outcome.own_fingerprints
            ):
                continue
            if beside.value is not None and not beside.why_stale(now):
                pairs.append((outcome.value, beside.value))
        return not_above({metric: pairs})


@dataclass(frozen=True)
class CurrentState:
    """The present state that results are compared with, besides numbers."""

    editions: Editions
    """The present editions; results of other editions are stale."""
    waiting: Collection[str] = ()
    """Ids of the stages that a process or a job has, or that wait for such a stage."""


def read_cells(
    name: str, members: Iterable[Member], runs: Path, inputs: CheckInput | None = None
) -> list[CellRuns]:
    """The members' runs by cell, in their order. A single recipe has one cell, with the recipe's
    name; its control stands beside it.

    Args:
        name: the recipe's or ablation recipe's.
        runs: the run root.
        inputs: checks whether data and weights have changed since; None: not checked.
    """
    cells: dict[str, list[Member]] = {}
    single = False
    for member in members:
        single |= not member.cell
        cells.setdefault(member.cell or name, []).append(member)
    lines = share(sum(map(len, cells.values())))
    read = {
        cell: tuple(read_run(cell, each.seed, each.recipe, runs, lines, inputs) for each in found)
        for cell, found in cells.items()
    }
    control = read.pop(CONTROL, ()) if single else read.get(CONTROL, ())
    return [
        CellRuns(name, cell, found, () if cell == CONTROL else control)
        for cell, found in read.items()
    ]


def merged(cells: Iterable[CellRuns]) -> list[CellRuns]:
    """Merge cells of the same name, with the seeds of all; runs that may be copies of each other
    are marked."""
    found: dict[tuple[str, str], CellRuns] = {}
    for each in cells:
        key = each.recipe, each.cell
        before = found.get(key)
        if before is not None:
            each = replace(
                each,
                runs=_of_all_seeds(before.runs, each.runs),
                untrained=_of_all_seeds(before.untrained, each.untrained),
            )
        found[key] = each
    told = iter(mark_copies([run for cell in found.values() for run in cell.runs]))
    return [replace(cell, runs=tuple(next(told) for _ in cell.runs)) for cell in found.values()]


def _of_all_seeds(runs: tuple[Run, ...], more: tuple[Run, ...]) -> tuple[Run, ...]:
    known = {run.seed for run in runs}
    return (*runs, *(run for run in more if run.seed not in known))


def stages_of(run: Run, metric: Measured, under: str = "") -> list[Stage]:
    """The stages behind a metric, parents first; `under`: see Run.behind."""
    return list(run.outcome(metric, under).stages)


def seconds(cell: CellRuns, metric: Measured, under: str = "") -> dict[str, float]:
    """Seconds of each of the metric's stages, by id, over all seeds."""
    return {s.id: s.seconds for run in cell.runs for s in stages_of(run, metric, under)}


Unusable = tuple[Literal["stale", "waiting", "missing", "diverged"], str]
"""Why runs give no number, as a state and in words."""


def unusable(
    cell: CellRuns, metric: Measured, outcomes: list[RunOutcome], now: CurrentState, under: str = ""
) -> Unusable | None:
    """Why the cell's outcomes, one for each run, give no number; None if they give one."""
    pairs = list(zip(cell.runs, outcomes, strict=True))
    stale = [
        (run, f"seed {run.seed}: {_number(outcome)} {why}")
        for run, outcome in pairs
        if _has_result(outcome) and (why := outcome.why_stale(now.editions))
    ]
    without = [(run, outcome) for run, outcome in pairs if not _has_result(outcome)]
    if stale:
        words = ", ".join(text for _, text in stale)
        if all(_waits(run, metric, under, now) for run, _ in (*stale, *without)):
            return "waiting", f"{words}: being run again"
        return "stale", f"{words}; the current edition is {now.editions}"
    if without:
        words = ", ".join(
            f"seed {run.seed} {_why(run, metric, under, o, now)}" for run, o in without
        )
        waits = all(_waits(run, metric, under, now) for run, _ in without)
        return ("waiting" if waits else "missing"), words
    of_run = sorted({print_ for outcome in outcomes for print_ in outcome.fingerprints})
    of_task = sorted({print_ for outcome in outcomes for _, print_ in outcome.own_fingerprints})
    for prints in (of_run, of_task):  # all runs of a cell have the same sections
        if len(prints) > 1:
            return "stale", f"the runs used different data ({', '.join(prints)})"
    broken = [f"seed {run.seed} {o.standing} ({o.detail})" for run, o in pairs if o.value is None]
    return ("diverged", ", ".join(broken)) if broken else None


def _waits(run: Run, metric: Measured, under: str, now: CurrentState) -> bool:
    return any(stage.id in now.waiting for stage in stages_of(run, metric, under))


def _why(run: Run, metric: Measured, under: str, outcome: RunOutcome, now: CurrentState) -> str:
    """Why there is no result; for a failed or interrupted run also where to read more."""
    if _waits(run, metric, under, now):
        return "running" if outcome.standing == "running" else "waits for its turn"
    if outcome.standing == "absent":
        return outcome.detail or "not run"
    if outcome.standing not in ("failed", "interrupted"):
        return (
            f"{outcome.standing}: {clause(outcome.detail)}"
            if outcome.detail
            else (outcome.standing)
        )
    broken = (each for each in stages_of(run, metric, under) if each.state == outcome.standing)
    stage = next(broken)
    why = f": {clause(outcome.detail)}" if outcome.detail else ""
    logs = Commands(stage.entry.folder.path.parent).line("logs", stage.id)
    return f"{outcome.standing}{why}, see {logs}"


def _has_result(outcome: RunOutcome) -> bool:
    return outcome.standing in ("finished", "diverged", "probe diverged")


def _number(outcome: RunOutcome) -> str:
    return outcome.standing if outcome.value is None else f"{outcome.value:.2f}"
