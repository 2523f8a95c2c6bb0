"""Write the report of a recipe's runs from the results so far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.app.progress import Progress
from harness.app.public import public
from harness.app.results import Report
from harness.errors import HarnessError
from harness.inputs import Inputs
from harness.plan import Plan, make_plan
from harness.recipe.find import find
from harness.report.collect import Results, collect, collect_single
from harness.report.published import published
from harness.report.write import own_place, write_report
from harness.site import Site, load_site
from harness.store.stale import CheckInput


@public
def report(
    recipe: Path | str,
    site: Site | None = None,
    *,
    sets: Sequence[str] = (),
    out: Path | None = None,
) -> Report:
    """Write the paper's table with ours beside it, as Markdown, HTML, LaTeX, CSV and JSON.

    Args:
        recipe, site, sets: see `plan`.
        out: the folder to write to; None: RUNS/reports/NAME.

    Raises:
        RecipeError: the recipe cannot be accepted, or `out` holds other files of the same names.
        StoreError: the disk is full, or the folder cannot be written.
    """
    site = site or load_site()
    return write(make_plan(find(str(recipe)), sets, site.runs), site, out)


def write(made: Plan, site: Site, out: Path | None = None) -> Report:
    """Write the report of a plan's runs; see `report`."""
    inputs = Inputs(site.data, site.runs)
    results = gather(made, site.runs, inputs)
    place = own_place(site.runs, made.name) if out is None else out
    paths = write_report(results, place, named=out is not None)
    return Report(results, tuple(paths), tuple(inputs.unfinished))


def write_at_end(made: Plan, site: Site, progress: Progress) -> Report | None:
    """The report at the end of a run; None if it could not be written, which is no failure of the
    run."""
    from harness.track.follow import start_report

    try:
        found = write(made, site)
    except HarnessError as error:
        progress.not_reported(error)
        return None
    progress.reported(found)
    if made.todo:  # else it was mirrored when they ended
        start_report(site.runs, made.name)
    return found


def gather(made: Plan, runs: Path, inputs: CheckInput | None, *, curves: bool = True) -> Results:
    """The results of the plan's runs so far; without `curves` no journal is read.

    `inputs` checks data and weights, but not for published records, which may be from elsewhere.
    """
    inputs = None if published(runs) else inputs
    if made.expansion is not None and made.scale is not None:
        return collect(
            made.expansion, made.scale, runs, path=made.path, curves=curves, inputs=inputs
        )
    recipe = made.stages[0].recipe
    return collect_single(recipe, runs, seeds=made.seeds, control=made.control, inputs=inputs)
