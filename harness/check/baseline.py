"""Baselines: the results of one edition's finished runs, as a file to compare later runs with."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from harness.check.cells import CellRuns, CurrentState, Measured, merged, unusable
from harness.check.trace import Text, Trace
from harness.errors import RecipeError, StoreError, Unreadable, cannot_be_read
from harness.output import escaped_json
from harness.recipe.identity import stage_id
from harness.recipe.reported import reported
from harness.recipe.schema import Recipe
from harness.recipe.section import Name, Section, refuse
from harness.recipe.validate import check
from harness.recipe.yaml_source import read
from harness.report.runs import LOSS, RunOutcome
from harness.report.statistics import summarise
from harness.spec.registry import task, task_of, tasks
from harness.store import atomic, provenance

DIGITS = 6
"""Decimal places of every number in the file."""
MOST_BYTES = 64_000_000
"""The largest file that is read: hundreds of cells with curves."""


class Sample(Section):
    """The values of one metric at the end of the runs."""

    metric: Measured
    task: Text | None = None
    """The further task that measures it; null: a section of its own. Left out of the file then."""
    data: Text | None = None
    """Fingerprint of the data that only this task reads (masks, boxes, a set of its own); null: it
    reads that of the run. Left out of the file then."""
    stage: Text
    """Hash of all that the metric's stage reads, except the seed: only equal hashes are
    compared."""
    values: tuple[float, ...]
    """One value for each of the cell's seeds; accuracies in percent, the loss in nats."""
    mean: float
    sd: Annotated[float, Field(ge=0)]
    """Sample standard deviation (n - 1)."""

    @property
    def called(self) -> str:
        """The metric, with its task if that has no section of its own."""
        return f"{self.task}: {self.metric}" if self.task else self.metric


class Monitored(Section):
    """kNN top-1 during training."""

    epochs: Annotated[tuple[float, ...], Field(min_length=1)]
    values: tuple[tuple[float, ...], ...]
    """A row for each of the cell's seeds, a column for each epoch; in percent."""


class CellRecord(Section):
    """All seeds of one recipe, or of one cell of an ablation recipe."""

    recipe: Name
    cell: Name
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=2)]
    runs: tuple[Text, ...]
    """The pre-trainings' ids, one for each seed."""
    data: Text
    """Fingerprint of the pre-trainings' data."""
    metrics: Annotated[tuple[Sample, ...], Field(min_length=1)]
    curve: Monitored | None = None
    trace: Trace | None = None
    """The first losses of a further seed; null: none. Left out of the file then."""
    edition: Text | None = None
    """The edition of its method's pre-training; null: the baseline's. Left out of the file then."""

    @property
    def called(self) -> str:
        return called(self.recipe, self.cell)

    def sample(self, metric: Measured, under: str = "") -> Sample | None:
        """The sample of a metric; `under`: the further task that measures it."""
        key = metric, under or None
        return next((each for each in self.metrics if (each.metric, each.task) == key), None)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        n = len(self.seeds)
        if len(set(self.seeds)) < n:
            yield "seeds", "a seed is listed twice"
        rows = {"runs": len(self.runs)}
        rows |= {f"metrics.{i}.values": len(each.values) for i, each in enumerate(self.metrics)}
        rows |= {"curve.values": len(self.curve.values)} if self.curve else {}
        for field, found in rows.items():
            if found != n:
                yield field, f"{found} values for {n} seeds"
        for i, each in enumerate(self.metrics):
            if each != self.sample(each.metric, each.task or ""):
                yield f"metrics.{i}.metric", f"{each.metric} is listed twice"
            if len(each.values) == n:
                is_ = summarise(each.values)
                if abs(is_.mean - each.mean) > 1e-5 or abs((is_.sd or 0) - each.sd) > 1e-5:
                    why = f"they have mean {is_.mean:.6f} and deviation {is_.sd or 0:.6f}"
                    yield f"metrics.{i}.values", f"{why}, the file says otherwise"
        if self.curve is not None:
            epochs = self.curve.epochs
            if any(later <= earlier for earlier, later in itertools.pairwise(epochs)):
                yield "curve.epochs", "they do not increase"
            if any(len(row) != len(epochs) for row in self.curve.values):
                yield "curve.values", f"each row needs {len(epochs)} values, one for each epoch"
        if self.trace is not None:
            if self.sample(LOSS) is None:
                yield "trace", f"it needs a metric {LOSS} beside it, whose protocol is its own"
            for field, why in self.trace.contradictions():
                yield f"trace.{field}", why


class Baseline(Section):
    """The content of a baseline's file, written by `check --write-baseline`."""

    baseline: Annotated[int, Field(ge=1, le=1)]
    """Version of this format. A Literal would also accept true."""
    edition: Text
    """The edition of pre-training; a cell whose method has another names its own."""
    commit: str
    """The commit checked out when its first run started; "" if unknown."""
    devices: tuple[Text, ...]
    """The hardware of the runs."""
    written: Text
    """When it was written (UTC, ISO 8601)."""
    cells: Annotated[tuple[CellRecord, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Baseline:
        found = [
            (f"cells.{n}.{field}", why)
            for n, cell in enumerate(self.cells)
            for field, why in cell.contradictions()
        ]
        names = [(cell.recipe, cell.cell) for cell in self.cells]
        found += [
            (f"cells.{n}.cell", f"{'/'.join(name)} is listed twice")
            for n, name in enumerate(names)
            if name in names[:n]
        ]
        refuse(found)
        return self

    def cell(self, recipe: str, cell: str) -> CellRecord | None:
        return next((c for c in self.cells if (c.recipe, c.cell) == (recipe, cell)), None)


def load_baseline(path: Path) -> Baseline:
    """The baseline in `path`.

    Raises:
        RecipeError: it cannot be read or accepted; lists each mistake with file and line.
    """
    try:
        os.lstat(path)  # only checks that it exists; the reader reports other errors
    except (OSError, ValueError) as error:
        known = getattr(error, "errno", None)
        if isinstance(error, OSError) and known not in (errno.ENOENT, errno.ENAMETOOLONG):
            raise Unreadable(cannot_be_read(error, path)) from error
        raise RecipeError(
            f"{path}: no such baseline; write it from finished runs with two seeds or more, with "
            "check --write-baseline"
        ) from None
    # JSON is YAML, and the YAML reader knows line numbers
    return check(Baseline, read(path, MOST_BYTES))


def measured(recipe: Recipe) -> list[tuple[Measured, str]]:
    """(metric, further task) of all that a baseline stores for runs of this recipe; the task is ""
    for metrics of a section of its own."""
    asked = [each for each in tasks().values() if each.asked(recipe)]
    found: list[tuple[Measured, str]] = [
        (name, "") for each in asked for name in reported(each, recipe.data)
    ]
    if recipe.optim.epochs:
        found.append((LOSS, ""))
    further = recipe.tasks.items()
    return found + [
        (name, under)
        for under, said in further
        for name in reported(task(said.kind), said.data or recipe.data)
    ]


def protocol(recipe: Recipe, metric: Measured, under: str = "") -> str:
    """Hash of everything that the metric's stage and its pre-training read, except name and
    seed; and how many trials of a further task are averaged."""
    kind = "pretrain" if metric == LOSS else task_of()[metric]
    nobody = recipe.model_copy(update={"seed": 0, "name": "any"})
    found = stage_id(nobody, under or kind).rpartition("-")[2]
    trials = recipe.tasks[under].trials if under else 1
    return f"{found}x{trials}" if trials > 1 else found


def make_baseline(cells: Sequence[CellRuns], now: CurrentState) -> Baseline:
    """A baseline of finished runs.

    Raises:
        StoreError: a cell has a single seed, a seed has no result of the present edition, or
            nothing is measured.
    """
    cells = [cell for cell in merged(cells) if measured(cell.runs[0].recipe)]
    if not cells:
        raise StoreError(
            "a baseline needs something measured, and the recipes measure nothing: add knn, linear "
            "or a task"
        )
    first = min((run for cell in cells for run in cell.runs), key=lambda run: run.started)
    code = first.stages["pretrain"].attempt.get("code")
    commit = code if isinstance(code, dict) else {}
    return Baseline(
        baseline=1,
        edition=(edition := now.editions[first.stages["pretrain"].subject]),
        commit=f"{commit.get('commit') or ''} {provenance.changes(commit)}".strip(),
        devices=tuple(sorted({run.device or "unknown" for cell in cells for run in cell.runs})),
        written=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        cells=tuple(_record(cell, now, edition) for cell in cells),
    )


def _record(cell: CellRuns, now: CurrentState, edition: str) -> CellRecord:
    own = now.editions[cell.runs[0].stages["pretrain"].subject]
    of = called(cell.recipe, cell.cell)
    if len(cell.runs) < 2:
        raise StoreError(
            f"{of}: one seed has no deviation, so no band; use more seeds, e.g. --seeds 0-7"
        )
    recipe, data = cell.runs[0].recipe, ""
    samples = []
    for metric, under in measured(recipe):
        outcomes = [run.outcome(metric, under) for run in cell.runs]
        why = unusable(cell, metric, outcomes, now, under)
        if why is not None:
            what = f"{under}: {metric}" if under else metric
            raise StoreError(f"{of}: a baseline needs {what} of every seed: {why[1]}")
        (data,) = outcomes[0].fingerprints
        values = [round(o.value, DIGITS) for o in outcomes if o.value is not None]
        found = summarise(values)
        assert found.sd is not None
        samples.append(
            Sample(
                metric=metric,
                task=under or None,
                data=own_fingerprint(outcomes) or None,
                stage=protocol(recipe, metric, under),
                values=tuple(values),
                mean=round(found.mean, DIGITS),
                sd=round(found.sd, DIGITS),
            )
        )
    return CellRecord(
        recipe=cell.recipe,
        cell=cell.cell,
        seeds=tuple(run.seed for run in cell.runs),
        runs=tuple(run.stages["pretrain"].id for run in cell.runs),
        data=data,
        metrics=tuple(samples),
        curve=_curve(cell),
        edition=own if own != edition else None,
    )


def called(recipe: str, cell: str) -> str:
    """RECIPE/CELL, or the recipe alone if it has only one cell, of the same name."""
    return cell if cell == recipe else f"{recipe}/{cell}"


def own_fingerprint(outcomes: Iterable[RunOutcome]) -> str:
    """Fingerprint of the data that only the task behind these outcomes reads; "": it has none."""
    return ", ".join(
        sorted({found for outcome in outcomes for _, found in outcome.own_fingerprints})
    )


def _curve(cell: CellRuns) -> Monitored | None:
    """The epochs at which every seed was monitored, with their values."""
    seen = [dict(run.curves.knn) for run in cell.runs]
    epochs = sorted(set.intersection(*map(set, seen)))
    if not epochs:
        return None
    rows = (tuple(round(points[epoch], DIGITS) for epoch in epochs) for points in seen)
    return Monitored(epochs=tuple(epochs), values=tuple(rows))


def text(baseline: Baseline) -> str:
    """The file's content: one line for each sample or curve row, so that diffs are readable."""
    said = baseline.model_dump(mode="json")
    for sample in (sample for cell in said["cells"] for sample in cell["metrics"]):
        for field in ("task", "data"):
            if sample[field] is None:
                del sample[field]
    for cell in said["cells"]:
        for field in ("trace", "edition"):
            if cell[field] is None:
                del cell[field]
    dumped = json.dumps(said, indent=2, ensure_ascii=False)
    rows = re.compile(r"\[\s+(-?\d[-+.e\d,\s]*?)\s+\]")
    return escaped_json(rows.sub(lambda row: f"[{' '.join(row[1].split())}]", dumped)) + "\n"


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write the file; an older baseline there is replaced.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    atomic.write(path, lambda file: file.write(text(baseline).encode()))
