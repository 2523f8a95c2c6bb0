"""What finished stages show of their networks: a section for each shape, side by side for a few
rows of the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.errors import StoreError
from harness.recipe.reported import reported
from harness.report.blocks import Block, Gallery, Notice, Paragraph, Picture, Section
from harness.report.collect import CellResult, Results
from harness.report.look_figures import figure
from harness.report.runs import Run, Stage
from harness.report.table import Text
from harness.report.table_text import quoted
from harness.spec.registry import task
from harness.store import look
from harness.store.look import Album, Shape

MOST = 4
"""Rows of the table whose networks are shown, so that a page stays small."""

FOLDER = "pictures"
"""The folder beside a report with the files of its albums."""


@dataclass(frozen=True)
class _Shown:
    """A shape of a cell's first run that has one."""

    cell: CellResult
    run: Run
    stage: Stage
    shape: Shape


def look_sections(results: Results) -> list[Section]:
    """The sections, in the order of the stages; notes of what cannot be shown at their end."""
    notes: list[Notice] = []
    found: dict[tuple[str, str], list[_Shown]] = {}
    for each in _first(results, notes):
        found.setdefault((each.stage.under, each.shape.name), []).append(each)
    sections = [
        Section(_title(under, shown), tuple(_blocks(f"{under}-{name}".strip("-"), shown)))
        for (under, name), shown in found.items()
    ]
    return [*sections, Section("Pictures not shown", tuple(notes))] if notes else sections


def shown_stages(results: Results) -> set[str]:
    """The ids of the stages that the sections show something of.

    Raises:
        StoreError: pictures that would be shown are missing or damaged.
    """
    notes: list[Notice] = []
    found = {each.stage.id for each in _first(results, notes)}
    if notes:
        raise StoreError(f"{notes[0].text} Restore them, or remove the stage's look.json.")
    return found


def _first(results: Results, notes: list[Notice]) -> Iterator[_Shown]:
    """For each row of the table, each shape of the first run that has it."""
    for cell in results.cells:
        seen: set[tuple[str, str]] = set()
        for run in cell.runs:
            for stage in run.stages.values():
                for shape in _shapes(results, run, stage, notes):
                    key = (stage.under, shape.name)
                    if key not in seen:
                        seen.add(key)
                        yield _Shown(cell, run, stage, shape)


def _shapes(results: Results, run: Run, stage: Stage, notes: list[Notice]) -> tuple[Shape, ...]:
    if task(stage.kind).look is None or not _counts(results, run, stage):
        return ()
    try:
        made = look.read(stage.entry.folder.path, stage.entry.result or {})
    except StoreError as error:
        what = str(error).rpartition("/")[2]
        notes.append(Notice("Note", f"No pictures of {run.name}, {stage.name}: {what}.", "unsure"))
        return ()
    return made.shapes if made is not None else ()


def _counts(results: Results, run: Run, stage: Stage) -> bool:
    """Whether the stage has finished, as the first of its trials, and may be compared."""
    if stage.state != "finished" or results.stale_training(run) or stage.name.count("=t"):
        return False
    if stage.kind == "pretrain":
        return True
    said = run.recipe.tasks.get(stage.under)
    data = (said.data if said is not None else None) or run.recipe.data
    metric, *_ = reported(task(stage.kind), data)
    return results.value(run, metric, stage.under).standing == "finished"


def _title(under: str, shown: list[_Shown]) -> str:
    title = shown[0].shape.title
    return f"{title}, {under}" if under else title


def _blocks(name: str, shown: list[_Shown]) -> Iterator[Block]:
    first = shown[0]
    if isinstance(first.shape, Album) and all(each.shape == first.shape for each in shown):
        shown = [first]  # the same for all rows, as runs draw the same views
        yield Paragraph(first.shape.about, "quiet")
        yield _gallery(f"{name}-1", first.shape, "")
        return
    if len(shown) > MOST:
        rest = quoted(each.cell.label for each in shown[MOST:])
        yield Paragraph(f"The first {MOST} of {len(shown)} rows, without {rest}.", "quiet")
        shown = shown[:MOST]
    several = len(shown) > 1
    same = all(each.shape.about == first.shape.about for each in shown)
    if same and several:
        yield Paragraph(first.shape.about, "quiet")
    for n, each in enumerate(shown, 1):
        whose = f"{each.cell.label}, seed {each.run.seed}" if several else ""
        said = "" if same and several else each.shape.about
        caption = ": ".join(filter(None, [whose, said]))
        if isinstance(each.shape, Album):
            yield _gallery(f"{name}-{n}", each.shape, caption)
        else:
            yield figure(f"{name}-{n}", each.shape, caption)


def _gallery(name: str, album: Album, caption: str) -> Gallery:
    return Gallery(
        name,
        tuple(map(Text, album.columns)),
        tuple(
            (
                row,
                tuple(
                    Picture(f"{FOLDER}/{name}-{n}-{column}", each.png, each.says, each.below)
                    for column, each in enumerate(pictures, 1)
                ),
            )
            for n, (row, pictures) in enumerate(album.rows, 1)
        ),
        corner="number",
        caption=caption,
        small=True,
    )
