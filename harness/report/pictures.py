"""Pictures that stages kept, in a grid: a column for each row of the table, the truth first."""

from __future__ import annotations

from collections.abc import Iterator

from harness.errors import StoreError
from harness.recipe.reported import reported
from harness.report.blocks import Block, Folded, Gallery, Notice, Paragraph, Picture, Section
from harness.report.collect import CellResult, Results
from harness.report.runs import Run, Stage
from harness.report.statistics import summarise
from harness.report.table import Column, Label, Mean, Row, Table, Text
from harness.spec.registry import metrics, task
from harness.store import pictures
from harness.store.pictures import PANELS, Panel, Pictures

IMAGE, TRUE, PREDICTED = PANELS


def picture_sections(results: Results) -> Iterator[Section]:
    """A section for each task whose stages kept pictures."""
    for number, under in enumerate(_tasks(results), 1):
        if blocks := _section(results, under, f"pictures-{number}"):
            yield Section(task(_kind(results, under)).pictures, tuple(blocks))


def _tasks(results: Results) -> list[str]:
    """The names under `tasks:` of the tasks that keep pictures."""
    named = (
        name
        for run in results.runs
        for name, said in run.recipe.tasks.items()
        if task(said.kind).pictures
    )
    return list(dict.fromkeys(named))


def _kind(results: Results, under: str) -> str:
    said = (run.recipe.tasks.get(under) for run in results.runs)
    return next(each.kind for each in said if each is not None)


def _section(results: Results, under: str, name: str) -> list[Block]:
    found: list[tuple[CellResult, Run, Pictures]] = []
    notes: list[Block] = []
    for cell in results.cells:
        for run in cell.runs:
            first_trial = next(iter(counted_trials(results, run, under)), None)
            if first_trial is None:
                continue
            entry = first_trial.entry
            try:
                made = pictures.read(entry.folder.path, entry.result or {})
            except StoreError as error:
                what = str(error).rpartition("/")[2]
                notes.append(Notice("Note", f"No pictures of {run.name}: {what}.", "unsure"))
                continue
            if made is not None:
                found.append((cell, run, made))
                break
    if not found:
        return notes
    _, first_run, first = found[0]
    rows: list[tuple[str, tuple[Picture | None, ...]]] = []
    others: set[str] = set()
    for number, panels in first.samples.items():
        row: list[Picture | None] = []
        for place, (cell, run, made) in enumerate(found):
            own = made.samples.get(number)
            if own is None or any(own[p].digest != panels[p].digest for p in (IMAGE, TRUE)):
                others.add(run.name)
                row.append(None)
            else:
                file = f"{name}-{number}-{place + 1}"
                row.append(_picture(file, f"predicted from {cell.label}", own[PREDICTED]))
        before = (
            _picture(f"{name}-{number}-image", "", panels[IMAGE]),
            _picture(f"{name}-{number}-true", "ground truth", panels[TRUE]),
        )
        rows.append((str(number), (*before, *row)))
    heads = (
        Text(IMAGE),
        Text("ground truth"),
        *(Text(cell.label, target=run.anchor) for cell, run, _ in found),
    )
    if others:
        said = ", ".join(sorted(others))
        notes.append(
            Notice("Note", f"Other images or another truth, so not shown: {said}.", "unsure")
        )
    seeds = {run.seed for _, run, _ in found}
    whose = ", ".join(f"{cell.label}: {run.seed}" for cell, run, _ in found)
    which = f"seed {first_run.seed}" if len(seeds) == 1 else f"seeds: {whose}"
    return [
        Paragraph(
            f"What {under} predicts for {len(rows)} test images, drawn once and the same for every "
            f"run. They are examples, not results. Each column shows its first seed with a result "
            f"({which}) and that seed's first trial.",
            "quiet",
        ),
        Gallery(name, heads, tuple(rows), first.legend),
        *notes,
    ]


def counted_trials(results: Results, run: Run, under: str) -> list[Stage]:
    """The stages of the run's trials of the task, the first trial first; [] unless all finished and
    may be compared."""
    said = run.recipe.tasks.get(under)
    if said is None:
        return []
    metric, *_ = reported(task(said.kind), said.data or run.recipe.data)
    finished = results.value(run, metric, under).standing == "finished"
    return run.behind(metric, under) if finished else []


def _picture(file: str, what: str, panel: Panel) -> Picture:
    return Picture(file, panel.png, f"{what}: {panel.says}" if what else panel.says)


def tables_of_each(results: Results) -> list[Folded]:
    """For each task and each of its metrics that is measured one by one, e.g. for each class: a
    table with a row for each and a column for each cell, mean over seeds and trials."""
    found = []
    for under in dict.fromkeys(name for run in results.runs for name in run.recipe.tasks):
        for metric in task(_kind(results, under)).metrics:
            if metric.each and (table := _table_of_each(results, under, metric.name)) is not None:
                title = f"{metric.label or metric.name} of each {metric.each}, {under}"
                found.append(Folded(title, table))
    return found


def _table_of_each(results: Results, under: str, metric: str) -> Table | None:
    declared, begins = metrics()[metric], f"{metric}@"
    cells: list[tuple[CellResult, list[dict[str, list[float]]]]] = []
    for cell in results.cells:
        runs = []
        for run in cell.runs:
            if not (trials := counted_trials(results, run, under)):
                continue
            values: dict[str, list[float]] = {}
            for stage in trials:
                for name, value in stage.values.items():
                    if name.startswith(begins):
                        values.setdefault(name.removeprefix(begins), []).append(value)
            runs.append(values)
        if any(runs):
            cells.append((cell, runs))
    names = dict.fromkeys(name for _, runs in cells for values in runs for name in values)
    if not names:
        return None
    rows = []
    for name in names:
        row: list[Mean] = []
        for _, runs in cells:
            each = [sum(v[name]) / len(v[name]) for v in runs if name in v]
            row.append(Mean(summarise(each) if each else None, len(runs)))
        rows.append(Row((Label(name), *row), key=name))
    columns = [Column(cell.label, declared.unit, align="right") for cell, _ in cells]
    return Table((Column(declared.each, kind="label"), *columns), tuple(rows))
