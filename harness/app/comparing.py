"""Compare two sets of runs: reports, run roots, or recipes with runs in the run root."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.app.public import public
from harness.app.reporting import gather
from harness.errors import HarnessError, RecipeError
from harness.inputs import Inputs
from harness.plan import make_plan
from harness.recipe.find import ENDINGS, find
from harness.replace import refuse_others_in
from harness.report.blocks import Document
from harness.report.claims import judge
from harness.report.published import above
from harness.report.read_report import read_report
from harness.report.results_json import FILE, Report, as_json
from harness.report.side_by_side import Pair, common_cells, pairs
from harness.report.side_by_side import compare as document_of
from harness.report.what_differs import Differing, Records, read_records, what_differs
from harness.report.write import rendered, write_files
from harness.site import Site, load_site
from harness.store import atomic

PAIRS = "comparison.json"


@dataclass(frozen=True)
class Comparison:
    """Two sets of runs beside each other."""

    document: Document
    """What differs, then the results with intervals: what `report --compare` shows."""
    differences: tuple[Differing, ...]
    """Recipe fields, edition, data, threads, libraries and hardware that differ."""
    pairs: tuple[Pair, ...]
    """Each common cell and metric, with the difference b - a in the metric's unit (of an accuracy:
    points)."""
    files: tuple[Path, ...] = ()
    """What was written."""


@public
def compare(
    a: Path | str,
    b: Path | str,
    *,
    recipe: Path | str | None = None,
    sets: Sequence[str] = (),
    site: Site | None = None,
    out: Path | None = None,
) -> Comparison:
    """What differs between two sets of runs, and their results with intervals.

    Args:
        a, b: each a report (its folder or results.json), a run root, or a recipe, whose runs are in
            the site's run root.
        recipe: the recipe whose runs are compared, for run roots.
        sets: settings of that recipe.
        site: the machine, for recipes; None: from the user's site file.
        out: the folder to write the comparison to; None: nothing is written.

    Raises:
        HarnessError: one of them is none of these, they have nothing in common, or `out` holds
            other files of the same names.
    """
    if sets and not any(_is_run_root(each) for each in (a, b)):
        raise HarnessError(
            "--compare: --set and --seeds change the recipe whose runs two run roots have; here "
            "both sides are compared as they are: leave them out, or name the reports of those runs"
        )
    (one, ours), (other, theirs) = (_side(each, recipe, sets, site) for each in (a, b))
    document = document_of(one, other, (str(a), str(b)), (ours, theirs))
    found = tuple(pairs(one, other))
    differences = what_differs(one, other, (ours, theirs), common_cells(one, other))
    files: list[Path] = []
    if out is not None:
        texts = {
            name.replace("report", "comparison"): text for name, text in rendered(document).items()
        }
        texts = {PAIRS: atomic.dump([asdict(pair) for pair in found]), **texts}
        refuse_others_in(out, texts, PAIRS, _are_pairs)
        first, *others = write_files(texts, out)  # the first says whose files these are
        files = [*others, first]
    return Comparison(document, tuple(differences), found, tuple(files))


def _are_pairs(content: bytes) -> bool:
    """Whether the content is that of a PAIRS file, of any version."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, list) and all(
        isinstance(each, dict) and {"cell", "metric", "difference"} <= each.keys() for each in found
    )


def is_recipe(named: Path | str) -> bool:
    """Whether a side of a comparison names a recipe: a YAML file, or what is no file or folder."""
    path = Path(named)
    return path.suffix in ENDINGS or not (path.is_file() or path.is_dir())


def _is_run_root(named: Path | str) -> bool:
    path = Path(named)
    return not is_recipe(named) and path.is_dir() and not (path / FILE).is_file()


def _side(
    named: Path | str, recipe: Path | str | None, sets: Sequence[str], site: Site | None
) -> tuple[Report, Records]:
    path = Path(named)
    if is_recipe(named):
        try:
            file = find(str(named))
        except RecipeError as error:
            raise HarnessError(f"{named}: no report, run root or recipe ({error})") from error
        runs = (site or load_site()).runs
        return _of_runs(file, (), runs)
    if path.is_file() or (path / FILE).is_file():
        report = read_report(path)
        folder = path.parent if path.is_file() else path
        return report, read_records(report, (folder / "runs", above(folder, 2)))
    if recipe is None:
        raise HarnessError(f"{path}: a run root; name a recipe too, or name a report's folder")
    return _of_runs(find(str(recipe)), sets, path)


def _of_runs(recipe: Path, sets: Sequence[str], runs: Path) -> tuple[Report, Records]:
    results = gather(make_plan(recipe, sets, runs), runs, Inputs(None, runs), curves=False)
    report = as_json(results, judge(results), [])
    recipes = {cell.id: cell.runs[0].recipe for cell in results.cells if cell.runs}
    return report, Records(recipes, read_records(report, (runs,)).attempts)
