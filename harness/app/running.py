"""Run what is missing of a recipe, then write its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.app import planning
from harness.app.progress import Progress
from harness.app.public import public
from harness.app.reporting import write_at_end
from harness.app.results import Outcome, Ran
from harness.errors import RecipeError
from harness.inputs import Inputs
from harness.launch.missing_looks import keep_missing, missing_looks
from harness.launch.protocol import Amount
from harness.launch.selected_launcher import attached, chosen
from harness.plan import Plan
from harness.recipe.ablation import Scale
from harness.recipe.expand import expand
from harness.recipe.find import find
from harness.recipe.load import load
from harness.report.claims import judge, next_seeds
from harness.report.collect import collect
from harness.site import Site, load_site
from harness.spec.registry import DEFAULT_LAUNCHER
from harness.store.layout import stage_folder

if TYPE_CHECKING:
    from harness.stage.reporter import Reporter


@public
def run(
    recipe: Path | str,
    site: Site | None = None,
    *,
    sets: Sequence[str] = (),
    again: bool = False,
    added: Mapping[str, Sequence[int]] | None = None,
    ask: bool = False,
    on: str = DEFAULT_LAUNCHER,
    progress: Progress | None = None,
) -> Ran:
    """Run what is missing of the recipe and report: one stage after the other, or as many at the
    same time as the site's `at_once` says.

    An error in one run does not stop the others. Called again, it does only what is missing and
    resumes an interrupted stage from its last checkpoint.

    Args:
        recipe, site, sets, again, added: see `plan`.
        ask: ask `progress.confirm` before long work.
        on: the launcher, an attached one.
        progress: is called as the work proceeds.

    Raises:
        Declined: the user refused to start long work.
        HarnessError: the recipe, the data or the disk do not allow it.
    """
    site, progress = site or load_site(), progress or Progress()
    inputs = Inputs(site.data, site.runs)
    made = planning.plan(recipe, site, sets=sets, again=again, added=added, on=on, inputs=inputs)
    progress.planned(made, inputs.unfinished)
    if made.todo and not added:  # a round that adds seeds has been warned of
        progress.warned(planning.preflight(made, site))
    planning.refuse(made, site, here=True, within_s=float("inf"))
    busy = [stage.id for stage in made.stages if stage.action == "busy"]
    if not made.todo:
        if busy:
            progress.left(busy)
        else:
            progress.nothing_to_do(made)
        _keep_missing(made, site, progress)
        return Ran(made, None, write_at_end(made, site, progress))
    attached(chosen(on, site), site).ready()
    amount = Amount(made.hours, limit=site.ask_above_hours)
    planning.ask_long(made, site, amount, progress, ask=ask)
    planning.writable(site.runs)
    planning.note_missing_commit(progress)
    progress.begins(made)
    try:
        outcome = run_stages(made, site, progress.working, progress.note, on=on)
    except KeyboardInterrupt:
        outcome = Outcome(None)
    progress.ended(outcome)
    return Ran(made, outcome, write_at_end(made, site, progress))


def run_stages(
    made: Plan,
    site: Site,
    working: Callable[[int], AbstractContextManager[tuple[Reporter, Callable[[], bool]]]],
    note: Callable[[str], object],
    *,
    on: str = DEFAULT_LAUNCHER,
) -> Outcome:
    """Run the plan's unfinished stages and mirror them to the trackers. For `working` and `note`
    see `Progress`.

    Raises:
        NoData, DiskError: no run can continue.
        HarnessError: the device is missing.
        KeyboardInterrupt: stopped at once.
    """
    from harness.track.follow import start

    launcher = attached(chosen(on, site), site)
    followers = start(site.runs, [stage.id for stage in made.todo], ranks=site.processes)
    if followers.warning:
        note(followers.warning)
    with working(len(made.todo)) as (reporter, stopping):
        tally = launcher.run(made, reporter, stopping)
        keep_missing(made, site, reporter, stopping)
    left = [s.id for s in made.stages if s.action == "busy" or s.id in tally.elsewhere]
    left = [id_ for id_ in left if stage_folder(site.runs, id_).result is None]
    return Outcome(tally, tuple(left))


def _keep_missing(made: Plan, site: Site, progress: Progress) -> None:
    """Keep what finished stages show and do not have, in a plan with nothing to run."""
    if count := len(missing_looks(made)):
        stages = "a finished stage shows" if count == 1 else f"{count} finished stages show"
        progress.say(f"drawing what {stages}, for the report")
        with progress.working(count) as (reporter, stopping):
            keep_missing(made, site, reporter, stopping)


@public
def run_until_decided(
    recipe: Path | str,
    most: int,
    site: Site | None = None,
    *,
    sets: Sequence[str] = (),
    again: bool = False,
    ask: bool = False,
    on: str = DEFAULT_LAUNCHER,
    progress: Progress | None = None,
) -> Ran:
    """As `run`, with more seeds until every claim is decided or cells have `most` seeds.

    The ablation recipe alone decides the next seeds and the times of analysis. So a stop and a new
    start do not change the result.

    Args:
        recipe: an ablation recipe.
        most: seeds of a cell, at most. The recipe must plan for so many (`looks`, `max_seeds`).
        site, sets, again, ask, on, progress: see `run`.

    Returns:
        The last round, or the first in which a stage failed.

    Raises:
        RecipeError: no ablation recipe, or one that does not plan for so many seeds.
        HarnessError: as `run`.
    """
    site, progress = site or load_site(), progress or Progress()
    path = find(str(recipe))
    scale = load(path, sets)
    _refuse(scale, path, most)
    assert isinstance(scale, Scale)
    added: dict[str, list[int]] = {}
    while True:
        ran = run(
            path, site, sets=sets, again=again, added=added, ask=ask, on=on, progress=progress
        )
        if ran.exit_code:
            return ran
        results = collect(
            expand(scale, path),
            scale,
            site.runs,
            path=path,
            inputs=Inputs(site.data, site.runs),
        )
        wanted = next_seeds(judge(results), scale, most)
        if not wanted or wanted == added:
            return ran
        added = wanted
        seeds = sorted({seed for of_cell in added.values() for seed in of_cell})
        progress.say(f"undecided claims: seeds {', '.join(map(str, seeds))} for {', '.join(added)}")


def _refuse(scale: object, path: Path, most: int) -> None:
    option = f"--seeds-until-decided {most}"
    if not isinstance(scale, Scale):
        raise RecipeError(f"{path}: {option} needs an ablation recipe: one recipe has no claims")
    if scale.max_seeds is None and len(scale.looks) < 2:
        raise RecipeError(
            f"{path}: {option} needs a second look in `looks`, or `max_seeds: {most}`, in the "
            "ablation recipe, written before the first run: alpha is divided over the planned looks"
        )
    if not len(scale.seeds) <= most <= scale.most_seeds:
        raise RecipeError(
            f"{path}: {option}: choose a number from {len(scale.seeds)} (seeds) to "
            f"{scale.most_seeds}, the most that the ablation recipe plans"
        )
