"""`moco-harness publish`: a report with the records it is made from, for others to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.cli import show
from harness.cli.report import gather
from harness.inputs import Inputs
from harness.plan import make_plan
from harness.recipe.find import find, known_as
from harness.report.index import PAGE, index, published_reports
from harness.report.publish import publish
from harness.report.published import published
from harness.report.write import write_files, write_report
from harness.site import Site


def publish_command(recipe: Path, sets: Sequence[str], site: Site, reports: Path) -> None:
    """Copy the records of the recipe's runs, make the report from the copy, renew the index.

    Raises:
        HarnessError: a run is not over, or the folder cannot be written.
    """
    made = make_plan(recipe, sets, site.runs)
    folder = reports / made.name
    results = gather(made, site.runs, Inputs(site.data, site.runs))
    publish(results, folder / "runs", recipe=known_as(recipe, reports.parent), sets=sets)
    show.line(str(render(folder, folder)[0]))
    _index(reports)


def renew_command(reports: Path) -> None:
    """Make every published report of the folder again from its records, and the index.

    Raises:
        HarnessError: a recipe is wrong or absent, or a folder cannot be written.
    """
    for folder in published_reports(reports):
        show.line(str(render(folder, folder)[0]))
    _index(reports)


def render(folder: Path, out: Path) -> list[Path]:
    """Write the published report in `folder` into `out`, from its records alone."""
    root = folder / "runs"
    mark = published(root) or {}
    made = make_plan(find(mark["recipe"], folder.parent.parent), mark["sets"], root)
    return write_report(gather(made, root, None), out)


def _index(reports: Path) -> None:
    (page,) = write_files({PAGE: index(reports)}, reports)
    show.line(str(page))
