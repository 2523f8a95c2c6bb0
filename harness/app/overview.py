"""The content of a run root: the states of its stages and jobs, and their progress."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.app.public import public
from harness.command import Commands
from harness.errors import StoreError
from harness.inputs import Inputs
from harness.launch.status import Row, Statuses, StatusReader
from harness.recipe.draw_words import interval_of_stage
from harness.recipe.knn_words import DIGITS
from harness.recipe.protocol_words import of_stage
from harness.recipe.rules import KNOWN_SIZES
from harness.site import Site, load_site
from harness.spec.registry import foremost, task_of, tasks
from harness.store.latest import Figures, Latest
from harness.store.ledger import measured_by, read_entry


@public
def status(site: Site | None = None, *, reader: StatusReader | None = None) -> Statuses:
    """Every stage under the run root: its state, node, job and log, and what to do about it.

    `ProgressReader` gives a stage's progress.

    Args:
        site: the machine; None: from the user's site file.
        reader: an earlier reader of this run root, from `harness.app.overview.watch`, so that
            unchanged files are not read again.

    Raises:
        StoreError: the run root cannot be read.
    """
    reader = reader or watch(site or load_site())
    enabled = gc.isenabled()
    gc.disable()  # thousands of records, none cyclic: collection would take a tenth of the time
    try:
        return reader.read()
    finally:
        if enabled:
            gc.enable()


def watch(
    site: Site, inputs: Inputs | None = None, commands: Commands | None = None
) -> StatusReader:
    """A reader for repeated calls of `status` on one run root.

    Args:
        inputs: checks data and weights; None: a new one.
        commands: makes the commands in the advice; None: for the site's run root and file.
    """
    inputs = inputs or Inputs(site.data, site.runs)
    return StatusReader(site.runs, inputs, commands or Commands(site.runs, site.file))


@dataclass(frozen=True)
class StageProgress:
    """Progress of a stage."""

    step: int = 0
    steps: int | None = None
    """Of the whole stage; None: unknown, or the stage is over."""
    epoch: float = 0.0
    """Epochs done, with fractions."""
    epochs: int | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    """The newest value of each metric, in its unit."""
    left_s: float | None = None
    """Estimated remaining seconds of a running stage, from its recent speed."""


class ProgressReader:
    """Reads the progress of stages; continues each journal from its last position."""

    def __init__(self) -> None:
        self._latest: dict[Path, Latest] = {}
        self._recipes: dict[Path, tuple[Mapping[str, Any], str]] = {}

    def read(self, row: Row) -> StageProgress:
        """The progress of the row's stage; what cannot be read is left out."""
        kind = str((row.entry.described or {}).get("kind", ""))
        figures, total, epochs = self._figures(row, kind), None, None
        if row.state in ("running", "suspended", "silent", "ending", "interrupted", "failed"):
            recipe, under = self._recipe(row)
            total, epochs = totals(recipe, kind, figures, under)
        left = _left(figures, total) if row.state == "running" else None
        return StageProgress(figures.step, total, figures.epoch, epochs, figures.values, left)

    def measured(self, row: Row, metric: str) -> str:
        """How the stage's value of a reported metric was measured: by which protocol, of which
        given weights; "" if there is nothing to say, or it cannot be read."""
        result = row.entry.result or {}
        try:
            described = row.entry.folder.described or {}
            words = [
                of_stage(described, result, task_of()[metric]),
                interval_of_stage(described, result),
            ]
            given = result.get("inputs", {}).get("weights")
            if given is not None:
                name = str(given["name"]).rpartition("/")[2]
                words.append(f"weights {name}, sha256 {given['sha256'][:DIGITS]}")
        except (StoreError, AttributeError, KeyError, TypeError, ValueError, IndexError):
            return ""
        return "; ".join(filter(None, words))

    def _figures(self, row: Row, kind: str) -> Figures:
        result = row.entry.result
        if result is not None:
            values = _values(result)
            step = result.get("step", 0)
            return Figures(step if isinstance(step, int) else 0, values=values)
        path = row.entry.folder.path
        watched = tasks()[kind].watched if kind in tasks() else ()
        latest = self._latest.setdefault(path, Latest(row.entry.folder, watched))
        try:
            return latest.read()
        except StoreError:
            return Figures()

    def _recipe(self, row: Row) -> tuple[Mapping[str, Any], str]:
        """The stage's recipe, and its name under `tasks:`."""
        path = row.entry.folder.path
        if path not in self._recipes:
            described = row.entry.described or {}
            if "recipe" not in described:  # a quick read leaves out the recipe and what follows
                described = read_entry(row.entry.folder).described or {}
            recipe = described.get("recipe")
            under = str(described.get("task") or "")
            self._recipes[path] = (recipe if isinstance(recipe, dict) else {}), under
        return self._recipes[path]


@dataclass(frozen=True)
class CellValues:
    """The leading accuracy of a cell's finished runs."""

    cell: str
    """Of a single recipe, the run's name without its seed."""
    metric: str
    values: tuple[float, ...]
    """One for each run: the mean over the trials that are finished."""
    mixed: bool = False
    """They are of different code or data, so that their mean says nothing."""


Measured = tuple[float, tuple[object, object]]
"""A value, and what measured it: see `measured_by`."""


def accuracies(rows: Iterable[Row]) -> dict[str, list[CellValues]]:
    """The leading accuracies of finished runs, by ablation, cells in the order of their ids.

    A run of an ablation leads with the ablation's metric. Others, and those that lack it, lead with
    their own linear probe, else their own kNN, else their first other evaluation. The runs of a
    cell lead with the same metric, as far as they have it. If a recipe was edited, its newest runs
    count.
    """
    found: dict[str, dict[str, dict[str, dict[tuple[int, str, str], list[Measured]]]]] = {}
    for row in _newest(list(rows)):
        described = row.entry.described or {}
        if row.state != "finished" or (lead := _lead(row, described)) is None:
            continue
        cell = str(described.get("cell") or described.get("name") or row.id)
        run = row.id.rpartition(".")[0]
        place, metric, value = lead
        of_cell = found.setdefault(str(described.get("group")), {}).setdefault(cell, {})
        task = _stage_name(row).partition("=t")[0]  # its trials share it
        measured = value, measured_by(row.entry.result or {})
        of_cell.setdefault(run, {}).setdefault((place, metric, task), []).append(measured)
    made: dict[str, list[CellValues]] = {}
    for group, cells in found.items():
        for cell, runs in cells.items():
            first = min(each for values in runs.values() for each in values)
            of_runs = [each[first] for each in runs.values() if first in each]
            values = tuple(fmean(value for value, _ in each) for each in of_runs)
            mixed = len({by for each in of_runs for _, by in each}) > 1
            made.setdefault(group, []).append(CellValues(cell, first[1], values, mixed))
    return {
        group: sorted(cells, key=lambda each: _by_number(each.cell))
        for group, cells in made.items()
    }


def _newest(rows: Sequence[Row]) -> list[Row]:
    """The stages without those of earlier texts of their recipes: of several of one name the one
    begun last, and what is built on it."""
    named: dict[str, list[Row]] = {}
    for row in rows:
        named.setdefault(row.id.rpartition("-")[0], []).append(row)
    several = (each for each in named.values() if len(each) > 1)
    earlier = {row.id for each in several for row in sorted(each, key=_begun)[:-1]}
    parents = {row.id: row.parent for row in rows} if earlier else {}

    def is_earlier(stage: str) -> bool:
        seen = set[str]()  # a damaged record may name itself as its parent
        while stage and stage not in earlier and stage not in seen:
            seen.add(stage)
            stage = parents.get(stage, "")
        return stage in earlier

    return [row for row in rows if not (earlier and is_earlier(row.id))]


def _begun(row: Row) -> float:
    try:
        return (row.entry.folder.path / "stage.json").stat().st_mtime
    except OSError:
        return 0.0


def _by_number(cell: str) -> list[tuple[str, float]]:
    """Sort key of a cell's id: queue=32 before queue=192."""
    parts = re.findall(r"(\D*)(\d+(?:\.\d+)?)?", cell)
    return [(text, float(number or 0)) for text, number in parts]


def _stage_name(row: Row) -> str:
    """The stage's name in its run: its id is RUN.NAME-HASH."""
    return row.id.rpartition(".")[2].rpartition("-")[0]


def _lead(row: Row, described: Mapping[str, Any]) -> tuple[int, str, float] | None:
    """(place among a run's values, metric, value) of a stage; None if it has none that leads."""
    values, kind = _values(row.entry.result or {}), str(described.get("kind"))
    if kind not in tasks():
        return None
    shown = [name for name in tasks()[kind].reported if name in foremost(values)]
    own = [each.kind for each in tasks().values() if each.parent is not None and each.section]
    is_own = _stage_name(row) == kind
    metric = str(described.get("metric"))
    if metric in tasks()[kind].reported and metric in values:
        return (-1 if is_own else 0), metric, values[metric]
    if not shown or tasks()[kind].parent is None:
        return None
    place = len(own) - own.index(kind) if is_own and kind in own else len(own) + 1
    return place, shown[0], values[shown[0]]


def not_above_untrained(rows: Iterable[Row]) -> dict[str, str]:
    """By stage id, in words: the finished results that are not above those of the untrained network
    beside them, where both were measured by the same edition and on the same data."""
    done = {row.id: row for row in rows if row.state == "finished"}
    found: dict[str, str] = {}
    for row in done.values():
        control = done.get(str((row.entry.described or {}).get("control")))
        if control is None:
            continue
        ours, theirs = (each.entry.result or {} for each in (row, control))
        if measured_by(ours) == measured_by(theirs):
            from harness.report.untrained import not_above  # it loads much; few run roots need it

            pairs = {
                metric: [(value, other)]
                for metric, value in _values(ours).items()
                if metric in task_of() and (other := _values(theirs).get(metric)) is not None
            }
            if said := not_above(pairs):
                found[row.id] = said
    return found


def _values(result: Mapping[str, Any]) -> dict[str, float]:
    said = result.get("values")
    return {k: v for k, v in (said.items() if isinstance(said, dict) else ()) if _number(v)}


def totals(
    recipe: Mapping[str, Any], kind: str, figures: Figures, under: str = ""
) -> tuple[int | None, int | None]:
    """(steps, epochs) of the whole stage, None if unknown; `under` is its name under `tasks:`."""
    trains = tasks()[kind].progress if kind in tasks() else None
    section = recipe.get(trains) if trains else None
    if trains and under:
        further = recipe.get("tasks")
        section = further.get(under) if isinstance(further, dict) else None
    if not isinstance(section, dict):
        return None, None
    epochs, data = section.get("epochs"), recipe.get("data")
    steps = section.get("steps")
    if not isinstance(epochs, int):
        return (steps if isinstance(steps, int) else None), None
    each = round(figures.step / figures.epoch) if figures.epoch else 0
    if tasks()[kind].parent is None and isinstance(data, dict):
        images = data.get("images") or KNOWN_SIZES.get(str(data.get("name")))
        batch = section.get("batch")
        if isinstance(images, int) and isinstance(batch, int) and images and batch:
            each = images // batch
    total = min(epochs * each, steps) if isinstance(steps, int) else epochs * each
    return total or None, epochs


def _left(figures: Figures, total: int | None) -> float | None:
    """Estimated remaining seconds of the stage, from its recent speed."""
    if not total or not figures.rate:
        return None
    return max(0.0, (total - figures.step) / figures.rate)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
