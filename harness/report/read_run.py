"""Read one run (a recipe with one seed) from its folders.

Reading never fails. Damaged, incomplete or unexpected content becomes a state or a warning of the
run, so that one bad folder does not prevent the report of the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.recipe.identity import canonical, record, spec, stage_id, stages
from harness.recipe.reported import reported
from harness.recipe.schema import Recipe
from harness.report.curves import MOST, is_number, read_curves
from harness.report.runs import PAPERS_EPOCHS, UNKNOWN, WORDS, Run, Stage
from harness.spec.registry import alarms, trackers
from harness.store import atomic
from harness.store.edition import subject
from harness.store.layout import StageFolder, stage_folder
from harness.store.ledger import OWN_DATA, beside, read_entry
from harness.store.stale import CheckInput
from harness.store.validity import copies, why_copy
from harness.track import mirror_state


def mark_copies(runs: Sequence[Run]) -> list[Run]:
    """The runs, with a mark on those that share a value unique to one run: one of them is a
    copy."""
    of = {stage.id: run for run in runs for stage in run.stages.values()}
    stages = {stage.id: stage.entry for run in runs for stage in run.stages.values()}
    done = {id_: (entry.described, entry.result) for id_, entry in stages.items() if entry.result}
    for root in {stages[id_].folder.path.parent for id_ in done}:
        done = beside(root, stages) | done
    found = copies(done)
    told = []
    for run in runs:
        shared = (found[stage.id] for stage in run.stages.values() if stage.id in found)
        what, others = next(shared, ("", ()))
        named = dict.fromkeys(of[id_].name if id_ in of else id_ for id_ in others)
        told.append(replace(run, copied=why_copy(what, named)) if what else run)
    return told


def read_run(
    cell: str,
    seed: int,
    recipe: Recipe,
    runs: Path,
    lines: int = MOST,
    inputs: CheckInput | None = None,
) -> Run:
    """Read a run's stages in the run root `runs`; a stage without a folder is absent.

    Args:
        lines: the most lines of its journal to read for curves; 0: none.
        inputs: checks whether data and weights have changed since; None: no check.
    """
    found = {name: _stage(name, recipe, runs, inputs) for name in stages(recipe)}
    warnings = [
        f"{stage.id}: one result has attempts of different editions ({', '.join(stage.editions)})"
        for stage in found.values()
        if len(stage.editions) > 1
    ]
    warnings += [
        f"{stage.id}: {WORDS.get(stage.state, stage.state)} ({stage.entry.detail})"
        for stage in found.values()
        if stage.state in ("damaged", "unreadable")
    ]
    warnings += [
        f"{stage.id}: damaged (result.json has no number for {metric})"
        for stage in found.values()
        for metric in stage.reported
        if stage.state == "finished" and metric not in stage.values
    ]
    warnings += [
        f"{stage.id}: {alarm}; docs/health.md says what to look at"
        for stage in found.values()
        for alarm in alarms(stage.values)
    ]
    read = read_curves(found["pretrain"].entry, recipe, lines)
    warnings += [_in(runs, warning) for warning in read.warnings]
    return Run(cell, seed, recipe, found, read, tuple(warnings))


def _in(runs: Path, text: str) -> str:
    """The text with paths relative to the run root: a report does not depend on the root's
    location."""
    return re.sub(rf"(?<![\w./-]){re.escape(str(runs))}/", "", text)


def _stage(name: str, recipe: Recipe, runs: Path, inputs: CheckInput | None) -> Stage:
    asked = spec(recipe, name)
    folder = stage_folder(runs, stage_id(recipe, name))
    entry = read_entry(folder)
    entry = replace(entry, detail=_in(runs, entry.detail))
    result = entry.result or {}
    try:
        attempts = folder.attempts() if entry.state != "absent" else []
    except StoreError:
        attempts = []
    ended = result.get("attempt")
    own = next((a for a in attempts if int(a.name) == ended), attempts[-1] if attempts else None)
    attempt = _provenance(own)
    edition = (result or attempt).get("edition")
    # a result from attempts of several editions names them all
    editions = edition.split("+") if isinstance(edition, str) else [UNKNOWN] if result else []
    data = result.get("data") or attempt.get("data")
    print_ = data.get("fingerprint") if isinstance(data, dict) else None
    values = result.get("values")
    processes = result.get("processes")
    processes = processes if isinstance(processes, int) and processes > 0 else 1
    return Stage(
        name=name,
        kind=asked.task.kind,
        parent=asked.parent,
        under=asked.under,
        reported=reported(asked.task, asked.data(recipe)),
        own_data=asked.data(recipe) != recipe.data,
        own_section=_own_section(recipe, asked.under),
        subject=subject(asked.task.kind, recipe.contrast.kind, recipe.optim.kind),
        id=folder.id,
        entry=entry,
        attempt=attempt,
        editions=tuple(sorted(set(editions))),
        fingerprint=str(print_ or (UNKNOWN if result else "")),
        values={
            str(name): float(value)
            for name, value in (values.items() if isinstance(values, dict) else ())
            if is_number(value)
        }
        | (_costs(result, recipe) if name == "pretrain" else {}),
        seconds=float(result["seconds"]) if is_number(result.get("seconds")) else 0.0,
        processes=processes,
        device=str(result.get("device") or ""),
        wanted=record(recipe, name),
        inputs=inputs,
        mirrors=tuple(_mirrors(folder)),
    )


def _own_section(recipe: Recipe, under: str) -> str:
    """The sections of the task `under` that name data of its own, as canonical text."""
    said = recipe.tasks[under].model_dump(mode="json") if under else {}
    own = {name: said[name] for name in ("data", *OWN_DATA) if said.get(name)}
    return canonical(own) if own else ""


def _costs(result: dict[str, Any], recipe: Recipe) -> dict[str, float]:
    """Memory in GB, and hours of 200 epochs at the measured speed, if they were measured."""
    wanted = ("memory_gb", "images_per_s", "step")
    said: dict[str, Any] = {key: result[key] for key in wanted if is_number(result.get(key))}
    optim = recipe.optim
    found: dict[str, float] = {}
    if "memory_gb" in said:
        found["cost/memory"] = float(said["memory_gb"])
    if "step" in said and said.get("images_per_s") and optim.epochs and not optim.steps:
        images = said["step"] * optim.batch / optim.epochs
        found["cost/hours"] = PAPERS_EPOCHS * images / said["images_per_s"] / 3600
    return found


def _provenance(attempt: Path | None) -> dict[str, Any]:
    try:
        found = atomic.read_json(attempt / "attempt.json") if attempt else None
    except StoreError:
        found = None
    return found if isinstance(found, dict) else {}


def _mirrors(folder: StageFolder) -> Iterator[str]:
    for kind in trackers():
        try:
            found = mirror_state.stored_state(folder, kind)
        except StoreError:
            continue
        if found and found.mode:
            name = f"{found.project}/{found.id}" if found.project else found.id
            yield f"{kind} {name} ({found.mode})"
