"""Measured accuracies of a pre-training's weights, if their records are valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from harness.errors import HarnessError
from harness.recipe.draw_words import interval_words
from harness.recipe.identity import StageSpec, of_trial, record, spec, stage_id
from harness.recipe.reported import reported
from harness.recipe.schema import Recipe
from harness.recipe.section import plain
from harness.recipe.yaml_text import render
from harness.spec.registry import metrics, task, task_of, tasks
from harness.store import atomic
from harness.store.edition import edition
from harness.store.layout import StageFolder
from harness.store.ledger import Entry, beside, names, read_entry
from harness.store.stale import why_stale
from harness.store.validity import copies, why_copy


@dataclass(frozen=True)
class Measured:
    """One valid result, or the reason why there is none."""

    metric: str
    says: str
    """In words: the value with its protocol, data, stage and edition; or none, and why."""

    @property
    def label(self) -> str:
        """The metric's name for people."""
        return metrics()[self.metric].label or self.metric


def measured(parent: Entry) -> list[Measured]:
    """All accuracies of the weights in the stage's run root; for each metric without one, the
    reason."""
    found: list[Measured] = []
    run = parent.folder.id.rpartition(".")[0]
    ids = [id_ for id_ in names(parent.folder.path.parent) if id_.rpartition(".")[0] == run]
    entries = [read_entry(StageFolder(parent.folder.path.parent / id_)) for id_ in ids]
    entries = [e for e in entries if (e.described or {}).get("parent") == parent.folder.id]
    for entry in entries:
        found += _of_stage(entry, parent)
    known = {each.metric for each in found}
    wanted = [
        name
        for name, kind in task_of().items()
        if task(kind).parent is not None and not metrics()[name].data_metric
    ]
    return found + [Measured(name, "none (not measured)") for name in wanted if name not in known]


def _of_stage(entry: Entry, parent: Entry) -> Iterator[Measured]:
    where = entry.folder.id
    try:
        recipe, asked = recipe_of(entry)
    except HarnessError as error:
        kind = str((entry.described or {}).get("kind"))
        for name in task(kind).reported if kind in tasks() else ():
            yield Measured(name, f"none ({where}: {error})")
        return
    why = _why_none(entry, parent, recipe, asked)
    result = entry.result or {}
    for name in reported(asked.task, asked.data(recipe)):
        value = result.get("values", {}).get(name)
        if why or value is None:
            yield Measured(name, f"none ({where}: {why or 'no such value'})")
            continue
        section = asked.section(recipe)
        said = plain(section) if section else {}
        data = entry.data
        drawn = interval_words(said, result.get("values", {}))
        yield Measured(
            name,
            f"{value:.2f} {metrics()[name].unit}; {f'{drawn}; ' if drawn else ''}protocol: "
            f"{render(said, flow=True)}; data: {data.get('name')}, "
            f"{data.get('test')} test images, fingerprint {data.get('fingerprint')}; "
            f"stage: {where}; edition: {result.get('edition')}",
        )


def _why_none(entry: Entry, parent: Entry, recipe: Recipe, asked: StageSpec) -> str:
    """Why the stage's result is not valid; "" if it is."""
    if entry.state != "finished":
        return f"{entry.state} {entry.detail}".strip()
    code = edition(asked.task.kind, recipe.contrast.kind)
    stale = why_stale(entry, parent, code, record(recipe, asked.name))
    return f"stale, {stale}" if stale else why_shared(entry)


def why_shared(entry: Entry) -> str:
    """Which stage the entry is a copy of, or which is a copy of it; "" if none."""
    id_ = entry.folder.id
    own = {id_: (entry.described, entry.result or {})}
    shared = copies(beside(entry.folder.path.parent, own) | own).get(id_)
    return why_copy(*shared) if shared else ""


def recipe_of(entry: Entry) -> tuple[Recipe, StageSpec]:
    """(recipe, the stage's part of it), from its stage.json.

    Raises:
        HarnessError: it describes another stage, or is of another version.
    """
    described: dict[str, Any] = entry.described or {}
    try:
        recipe = Recipe.model_validate_json(atomic.dump(described.get("recipe")))
        name = str(described.get("kind"))
        if (under := described.get("task")) is not None:
            recipe, name = of_trial(recipe, str(under), int(described.get("trial", 0)))
        asked = spec(recipe, name)
    except (ValidationError, KeyError, TypeError, ValueError, IndexError):
        raise HarnessError("its stage.json is from another version of the harness") from None
    if stage_id(recipe, asked.name) != entry.folder.id:
        raise HarnessError("its stage.json was changed, or is from another stage")
    return recipe, asked
