"""Export the whole detector that a task of a run has trained."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.app.exported import EXPORTS, Exported
from harness.app.trained_run import finished, pretraining
from harness.command import Commands
from harness.errors import HarnessError, RecipeError, StoreError
from harness.launch.selection import SHOWN
from harness.recipe.detection import DetectionTask
from harness.site import Site
from harness.store.layout import StageFolder
from harness.store.ledger import names, read_entry

if TYPE_CHECKING:
    from harness.recipe.identity import StageSpec
    from harness.recipe.schema import Recipe


def export_detector(
    run: str, task: str, site: Site, to: Path | None, sets: Sequence[str]
) -> Exported:
    """Write the detector of a run's finished task for detectron2: weights, settings, card.

    Args: see harness.app.export.

    Raises:
        HarnessError: the run has no such task, or several; the task has not finished or trained no
            detector; detectron2 has no such detector; or the folder holds something else.
    """
    from harness.export import detector, detectron2_detector, folder, measured
    from harness.export.detector_card import DetectorCard

    commands = Commands(site.runs, site.file)
    parent = read_entry(pretraining(run, sets, site))
    entry = finished(_stage(run, task, parent.folder), commands, f"the task {task}")
    try:
        recipe, asked = measured.recipe_of(entry)
    except HarnessError as error:
        raise StoreError(f"{entry.folder.path}: {error}; move the folder away") from error
    section = _section(task, recipe, asked)
    detector.refuse(recipe.model, section)
    network = detector.read(entry.folder, recipe.model, section, entry.result or {})
    content = detectron2_detector.files(network)
    weights, data = next(iter(content.items()))
    sha256 = hashlib.sha256(data).hexdigest()
    card = DetectorCard(entry, network, recipe, measured.measured(parent))
    settings = content[detectron2_detector.SETTINGS].decode()
    content["README.md"] = card.page(settings, weights, sha256).encode()
    where = to or entry.folder.path.parent / EXPORTS / f"{entry.folder.id}.detectron2"
    written = folder.write(where, content)
    files = tuple(where / name for name in content)
    notes = (*card.notes, f"detectron2's settings, also in {detectron2_detector.SETTINGS}:")
    notes += tuple(settings.splitlines())
    return Exported(entry.folder.id, where, where / weights, files, sha256, written, notes)


def _stage(run: str, task: str, parent: StageFolder) -> StageFolder:
    """The stage of the run's task: the one that `run` itself names, else the only one.

    Raises:
        StoreError: there is none, or there are several of other settings.
    """
    own = parent.path.parent
    there = [id_ for id_ in names(own) if _of(id_) == _of(parent.id)]
    further = [
        id_
        for id_ in there
        if (read_entry(StageFolder(own / id_)).described or {}).get("parent") == parent.id
    ]
    found = [id_ for id_ in further if _task(id_) == task]
    named = Path(run).absolute().name
    if named in further and named not in found:
        raise StoreError(f"{run}: a stage of the task {_task(named)}: say --task {_task(named)}")
    if named in found:
        found = [named]
    if not found:
        known = ", ".join(sorted({_task(id_) for id_ in further})) or "none yet"
        raise StoreError(f"{parent.id}: no stage of a task {task}; the run has {known}")
    if len(found) > 1:
        shown = "\n".join(f"  {each}" for each in found[:SHOWN])
        raise StoreError(
            f"{run}: {len(found)} stages of the task {task}, of other settings; name one of them "
            f"instead of the run:\n{shown}"
        )
    return StageFolder(own / found[0])


def _of(stage_id: str) -> str:
    """The run of a stage."""
    return stage_id.rpartition(".")[0]


def _task(stage_id: str) -> str:
    """The task's name in the stage's id, with the trial."""
    return stage_id.rpartition(".")[2].rpartition("-")[0]


def _section(task: str, recipe: Recipe, asked: StageSpec) -> DetectionTask:
    section = asked.section(recipe)
    if not isinstance(section, DetectionTask):
        raise RecipeError(
            f"--task {task}: is of kind {asked.task.kind}, which trains no detector; leave --task "
            "out to export the pre-trained backbone"
        )
    return section
