"""Verify a published report: its files are those that were published, and its records give it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.app.public import public
from harness.app.publishing import recipe_of, render
from harness.errors import StoreError
from harness.report import manifest
from harness.report.index import overview
from harness.report.preregistration import KEY
from harness.report.preregistration_history import contradicted
from harness.report.published import MARK, above, published
from harness.store import atomic
from harness.temporary import temporary_folder

DRAWN = (".svg", ".html")
"""Files with drawings, whose bytes depend on matplotlib's version."""


@dataclass(frozen=True)
class Verified:
    """What was found about a published report. Names are paths in its folder."""

    folder: Path
    files: manifest.Comparison
    made: int
    """Files of the report that its records give again byte for byte."""
    differing: tuple[str, ...]
    """Files that the records do not give: other content, absent, or more than they give."""
    preregistered: str | None
    """What git says against the commit that the records name as that of the table's plan; None if
    they name none, or if it cannot be looked at here."""
    drawings: bool
    """Whether drawings were compared: only with the version of matplotlib that drew them."""
    runs: int
    """Runs whose pre-training has a result."""
    planned: int
    """Runs of the recipe, of which an incomplete report lacks some."""
    claims: int
    """Claims whose verdicts were computed anew."""

    @property
    def holds(self) -> bool:
        return not (self.files.differs or self.differing or self.preregistered)


@public
def verify(folder: Path) -> Verified:
    """Compare a published report's files with their digests, and make it again from its records.

    Numbers, intervals and verdicts are computed anew from the records; torch is not needed.

    Raises:
        HarnessError: it is no published report, a record cannot be read, or its recipe is unknown.
    """
    mark = None if folder.is_file() else published(folder / "runs")
    if mark is None:
        raise StoreError(f"{folder}: not a published report (no runs/{MARK})")
    noted = mark.get(KEY)
    files = manifest.compare(folder)
    drawings = mark.get("matplotlib") == _version("matplotlib")
    with temporary_folder() as made:
        written = render(folder, made)
        again = {path.relative_to(made).as_posix(): path.read_bytes() for path in written}
    here = {
        name
        for path in folder.rglob("*")
        if path.is_file() and not (name := path.relative_to(folder).as_posix()).startswith("runs/")
    } - {manifest.MANIFEST, *_own_recipe(folder, mark)}
    differing = {*again} ^ here
    for name in again.keys() & here:
        if not _equal(name, (folder / name).read_bytes(), again[name], drawings):
            differing.add(name)
    results = json.loads(again["results.json"])
    states = [
        run["stages"]["pretrain"]["state"] for cell in results["cells"] for run in cell["runs"]
    ]
    return Verified(
        folder=folder,
        files=files,
        made=len(again.keys() - differing),
        differing=tuple(sorted(differing)),
        preregistered=contradicted(recipe_of(folder), noted if isinstance(noted, dict) else {}),
        drawings=drawings,
        runs=sum(state in ("finished", "diverged") for state in states),
        planned=len(states),
        claims=len(results["claims"]),
    )


def changed_overview(reports: Path) -> list[str]:
    """The files beside the published reports, the page of all of them and its picture, that are not
    what the reports give.

    Raises:
        HarnessError: a report cannot be read.
    """
    changed = []
    for name, text in overview(reports).items():
        try:
            same = atomic.content(reports / name) == text.encode()
        except OSError:
            same = False
        changed += [] if same else [name]
    return changed


def _own_recipe(folder: Path, mark: Mapping[str, Any]) -> list[str]:
    """The recipe beside the report, which a sweep has there; the manifest has its digest."""
    named = (above(folder, 2) / str(mark.get("recipe"))).resolve()
    return [named.name] if named.parent == folder.resolve() else []


def _equal(name: str, published: bytes, made: bytes, drawings: bool) -> bool:
    """Drawings by another version of matplotlib are left out."""
    if drawings or not name.endswith(DRAWN):
        return published == made
    return name.endswith(".svg") or _without_drawings(published) == _without_drawings(made)


def _without_drawings(page: bytes) -> bytes:
    return re.sub(rb"<svg.*?</svg>", b"", page, flags=re.DOTALL)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
