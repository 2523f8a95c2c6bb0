"""Publish a report with the records that it is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.app.public import public
from harness.app.reporting import gather
from harness.app.sweeping import FOLDER
from harness.errors import StoreError
from harness.imagefolder import some
from harness.inputs import Inputs
from harness.plan import make_plan
from harness.recipe.find import find, portable_name
from harness.replace import refuse_others_in
from harness.report import publish as records
from harness.report.claims_picture import FILE as PICTURE
from harness.report.collect import Results
from harness.report.index import PAGE, TITLE, overview, published_reports
from harness.report.look_sections import FOLDER as PICTURES
from harness.report.manifest import MANIFEST, digests, manifest
from harness.report.preregistration import KEY, commits_of, deciding_results
from harness.report.preregistration_history import committed
from harness.report.published import MARK, above, published
from harness.report.write import FIGURES, refuse_texts, write_files, write_report
from harness.site import Site, load_site
from harness.store import atomic
from harness.store.layout import refuse_link

OnWritten = Callable[[Path], object]


REMOVABLE = (".png", ".svg")
"""Endings of drawings and pictures: those that a report no longer has are removed when it is made
again."""


@dataclass(frozen=True)
class Published:
    """The files written into the folder of published reports."""

    reports: tuple[Path, ...]
    """The first file of each report."""
    index: Path
    """The page of all published reports."""
    left_out: bool = False
    """Images that may be private were not published."""


@public
def publish(
    recipe: Path | str | None,
    to: Path,
    site: Site | None = None,
    *,
    sets: Sequence[str] = (),
    with_images: bool = False,
    on_written: OnWritten = lambda _: None,
) -> Published:
    """Copy the records of the recipe's runs, make the report from the copy, renew the index.

    Args:
        recipe: see `plan`; None: make every published report again from its records instead.
        to: the folder of published reports.
        site, sets: see `plan`.
        with_images: see harness.report.publish.publish.
        on_written: called with each file of `Published` when it is written.

    Raises:
        HarnessError: a run is not finished, a recipe is wrong, a folder is a link or cannot be
            written, or `to` has another page than that of published reports. Without a recipe:
            `to` has no published report.
    """
    left_out = False
    _refuse_other_page(to)
    if recipe is None:
        for left in to.glob("*/.runs.replaced"):
            records.finish_replacement(left.with_name("runs"))
        folders = published_reports(to)
        if not folders:
            raise StoreError(f"{to}: contains no published report; name a recipe to publish")
        noted = _checked_digests(folders)
    else:
        site = site or load_site()
        made = make_plan(path := find(str(recipe)), sets, site.runs)
        noted = _checked_digests(folders := [to / made.name])
        results = gather(made, site.runs, Inputs(site.data, site.runs))
        of_sweep = path.resolve().parent == (site.runs / FOLDER).resolve()
        kept = folders[0] / path.name if of_sweep else path  # it leaves the run root
        known, root = portable_name(kept, above(to)), folders[0] / "runs"
        left_out = not with_images and records.private_images(results)
        records.publish(results, root, recipe=known, sets=sets, with_images=with_images)
        if of_sweep:
            write_files({path.name: path.read_bytes()}, folders[0])
    written: list[Path] = []
    for folder in folders:
        _preregister(folder, afresh=recipe is not None)
        files = render(folder, folder)
        made_now = {str(p.relative_to(folder)) for p in files}
        _remove_drawings(folder, noted[folder].keys() - made_now)
        written.append(files[0])
        write_files({MANIFEST: manifest(folder)}, folder)
        on_written(written[-1])
    on_written(page := _write_page(to))
    return Published(tuple(written), page, left_out)


def _refuse_other_page(to: Path) -> None:
    """Refuse to replace a page or a picture in `to` that `publish` did not write."""
    refuse_others_in(to, [PAGE], PAGE, lambda page: page.startswith(TITLE.encode()))
    refuse_others_in(to, [PICTURE], PAGE, _has_picture)


def _has_picture(page: bytes) -> bool:
    return page.startswith(TITLE.encode()) and f"]({PICTURE})".encode() in page


def _write_page(to: Path) -> Path:
    """Write the page of all reports, and its picture or none; returns the page."""
    files = overview(to)
    page, *_ = write_files(files, to)
    if PICTURE not in files:  # no table of a paper is left
        (to / PICTURE).unlink(missing_ok=True)
    return page


def _remove_drawings(folder: Path, names: Iterable[str]) -> None:
    """Remove drawings, with their numbers, and pictures that the report no longer has; its records
    stay."""
    for path in (folder / name for name in names):
        drawn = path.suffix in REMOVABLE and path.parent in (folder, folder / PICTURES)
        if (drawn or path == folder / FIGURES) and not path.is_symlink():
            path.unlink(missing_ok=True)


def _checked_digests(folders: Sequence[Path]) -> dict[Path, dict[str, str]]:
    """Each folder's digests by file; {} without any.

    Raises:
        HarnessError: a folder is a link, or has drawings, pictures or texts that may be somebody's
            own: publishing removes drawings that the report no longer has, and replaces texts.
    """
    belongs = (
        "a published report must be a folder in --to itself, not a link: move the folder there"
    )
    noted = {}
    for folder in folders:
        for place in (folder, folder / "runs", folder / PICTURES):
            refuse_link(place, belongs=belongs)
        if not (folder / "runs" / MARK).is_file():
            refuse_texts(folder, MANIFEST, f"{folder.name}.yaml")
        noted[folder] = digests(folder) or {}
        there = (p for place in (folder, folder / PICTURES) for p in sorted(place.glob("*")))
        drawn = [p.relative_to(folder).as_posix() for p in there if p.suffix in REMOVABLE]
        own = [name for name in drawn if name not in noted[folder]]
        if own:
            raise StoreError(
                f"{folder}: contains drawings or pictures that its {MANIFEST} does not name "
                f"({some(own)}); move them away"
            )
    return noted


def render(folder: Path, out: Path) -> list[Path]:
    """Write the published report in `folder` into `out`, only from its records.

    The recipe is looked for beside the folder of reports; a report that was copied from there is
    made by the shipped recipe of the same path.
    """
    return write_report(_gathered(folder), out)


def recipe_of(folder: Path) -> Path:
    """The recipe of the published report in `folder`, found as `render` finds it."""
    mark, place = published(folder / "runs") or {}, above(folder, 2)
    named = Path(str(mark.get("recipe")))
    return find(named.stem if not (place / named).exists() else str(named), place)


def _gathered(folder: Path) -> Results:
    root = folder / "runs"
    made = make_plan(recipe_of(folder), (published(root) or {}).get("sets", ()), root)
    return gather(made, root, None)


def _preregister(folder: Path, *, afresh: bool) -> None:
    """Note in the records which commit first had what decides the table.

    Args:
        afresh: look at the history though the records say it of what decides now: their runs may
            be others. What they say stands if there is no history.
    """
    root, results = folder / "runs", _gathered(folder)
    mark, wanted = published(root) or {}, deciding_results(results)
    said = mark.get(KEY)
    if not (isinstance(said, dict) and said.get("digest") == wanted and said.get("commit")):
        said = None
    if said is not None and not afresh:
        return
    runs = commits_of(results)
    found = committed(recipe_of(folder), mark.get("sets", ()), wanted, runs)
    if said is not None and found.get("unknown"):
        contain = said.get("of_runs") or {}
        found = said | {"of_runs": {each: contain.get(each) for each in runs}}
    mark[KEY] = found
    write_files({MARK: atomic.dump(mark)}, root)
