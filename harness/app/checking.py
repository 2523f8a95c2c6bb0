"""Compare results of the present code with the recipes' targets, and with a baseline."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.app.asked import Asked, Task, Tasks
from harness.app.progress import Progress
from harness.app.public import public
from harness.check.baseline import Baseline
from harness.check.cells import CellRuns, CurrentState, merged, read_cells
from harness.check.compare import Pair, against_baselines
from harness.check.targets import against_targets
from harness.check.verdict import ACCEPTED, Failure, Verdict
from harness.errors import DiskError, HarnessError, NotYet, RecipeError, TargetMissed
from harness.inputs import Inputs
from harness.launch.selected_launcher import AUTO, chosen
from harness.plan import Plan
from harness.site import Site, load_site
from harness.store.edition import present
from harness.store.stale import CheckInput

PAUSE_S = 60.0
"""Seconds between two checks of the queue."""


@dataclass(frozen=True)
class Checked:
    """The results of `check`."""

    verdicts: tuple[Verdict, ...]
    cells: tuple[CellRuns, ...]
    """The judged cells; a baseline is made from them."""
    now: CurrentState
    asked: Tasks
    unfinished: tuple[str, ...]
    """Folders of data that were too large to be compared in time."""

    @property
    def failures(self) -> list[Failure]:
        """Everything that could not be judged."""
        return self.asked.failures

    def refuse(self) -> None:
        """Do nothing if everything could be judged.

        Raises:
            HarnessError: says all that could not be judged, with the first one's exit code.
        """
        self.asked.refuse()

    @property
    def exit_code(self) -> int:
        """0: all passed or was skipped. TargetMissed's: some result is not as required, stale,
        missing or incomparable. NotYet's: some results are not there yet. If something could not
        be judged, that of its error; see `refuse`."""
        if self.asked.errors:
            return self.asked.errors[0][1].exit_code
        left = {verdict.judged for verdict in self.verdicts} - ACCEPTED
        if left - {"waiting"}:
            return TargetMissed.exit_code
        return NotYet.exit_code if left else 0


@public
def check(
    recipes: Sequence[Path | str],
    site: Site | None = None,
    *,
    sets: Sequence[str] = (),
    seeds: Sequence[int] = (),
    against: Path | None = None,
    without_baseline: bool = False,
    run: bool = False,
    wait: bool = False,
    ask: bool = False,
    progress: Progress | None = None,
) -> Checked | None:
    """Judge the recipes' results; with `run`, first run what is missing.

    An error in one recipe does not stop the others: see `Checked.failures`.

    Args:
        recipes: recipes and lists of recipes, by file or name.
        site, sets: see `plan`.
        seeds: replace the recipes' own; () keeps those.
        against: a baseline for all; None: the lists' own.
        without_baseline: compare with no baseline, because one will be written.
        run: first run, or submit, what is missing or stale.
        wait: judge after the current runs and jobs have ended.
        ask: ask `progress.confirm` before long work.
        progress: is called as the work proceeds.

    Returns:
        None if it was stopped on request before anything was judged.

    Raises:
        DiskError: no recipe can be run.
        StoreError: the run root cannot be read.
    """
    site, progress = site or load_site(), progress or Progress()
    found = Tasks(recipes, sets, site.runs, seeds=seeds, against=against, without=without_baseline)
    tasks = [each.task for each in found.asked]
    if run and not run_missing(tasks, site, progress, ask=ask):
        return None
    if wait and not wait_for(tasks, site, progress):
        return None
    inputs = Inputs(site.data, site.runs)
    now = CurrentState(present(), waiting(tasks, site, inputs))
    asked = [(each, cell) for each in found.asked for cell in _cells(each.plan, site.runs, inputs)]
    cells = merged(cell for _, cell in asked)
    verdicts = [*against_targets(cells, now), *against_baselines(_pairs(asked), now)]
    return Checked(tuple(verdicts), tuple(cells), now, found, tuple(inputs.unfinished))


def run_missing(tasks: Sequence[Task], site: Site, progress: Progress, *, ask: bool) -> bool:
    """Run, or submit, what is missing or stale of each recipe, as `run --again` does.

    An error in one recipe does not stop the others: its results stay missing.

    Returns:
        False if it was stopped on request.

    Raises:
        DiskError: no recipe can continue.
    """
    from harness.app.running import run
    from harness.app.submitting import submit
    from harness.track import feed

    feed.check()  # report wrong tracker settings before anything runs
    for task in dict.fromkeys((task.path, task.sets) for task in tasks):
        path, sets = task
        progress.recipe(path)
        try:
            on = chosen(AUTO, site)
            if not on.attached:
                submit(path, site, on=on.kind, sets=sets, ask=ask, again=True, progress=progress)
            else:
                ran = run(path, site, on=on.kind, sets=sets, ask=ask, again=True, progress=progress)
                if ran.outcome is not None and ran.outcome.interrupted:
                    return False
        except DiskError:
            raise
        except HarnessError as error:
            progress.refused(path, error)
    return True


def waiting(tasks: Sequence[Task], site: Site, inputs: CheckInput) -> set[str]:
    """The ids of the stages that a process or a job is running or will run again, or that wait for
    such a stage. A recipe that was changed meanwhile, and cannot be read any more, has none."""
    from harness.launch.plan_with_jobs import plan_with_jobs

    found: set[str] = set()
    for task in tasks:
        with contextlib.suppress(RecipeError):
            known = plan_with_jobs(task.path, task.sets, site.runs, again=True, inputs=inputs)
            found |= {stage.id for stage in known.plan.stages if stage.action == "busy"}
    return found


def pause() -> None:
    time.sleep(PAUSE_S)


def wait_for(tasks: Sequence[Task], site: Site, progress: Progress) -> bool:
    """Wait until no stage of the tasks is running or waiting.

    Returns:
        False if it was stopped on request.
    """
    before = 0
    try:
        while left := len(waiting(tasks, site, Inputs(site.data, site.runs))):
            if left != before:
                progress.waiting(left)
            before = left
            pause()
    except KeyboardInterrupt:
        progress.say("stopped waiting; the runs continue")
        return False
    return True


def _cells(plan: Plan, runs: Path, inputs: CheckInput) -> list[CellRuns]:
    members = list({(s.member.cell, s.recipe.seed): s.member for s in plan.stages}.values())
    name = plan.scale.name if plan.scale is not None else members[0].recipe.name
    return read_cells(name, members, runs, inputs)


def _pairs(asked: Sequence[tuple[Asked, CellRuns]]) -> list[Pair]:
    """Every cell with its tasks' baseline, all its seeds together."""
    of: dict[Path, tuple[Baseline, list[CellRuns]]] = {}
    for each, cell in asked:
        if each.task.baseline is not None and each.baseline is not None:
            of.setdefault(each.task.baseline, (each.baseline, []))[1].append(cell)
    return [
        Pair(cell, baseline, str(path))
        for path, (baseline, cells) in of.items()
        for cell in merged(cells)
    ]
