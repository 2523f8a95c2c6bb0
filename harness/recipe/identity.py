"""Identity of a run: a hash of the resolved sections that a stage reads, defaults included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.recipe.schema import SCHEMA_VERSION, Recipe
from harness.recipe.section import Section, plain
from harness.recipe.task import Data
from harness.spec.declarations import Task
from harness.spec.registry import task, tasks


def canonical(value: Any) -> str:
    """Canonical JSON: equal values give equal text. Keys are sorted, without spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """The first ten hexadecimal digits of the SHA-256 of `value`'s canonical text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:10]


@dataclass(frozen=True)
class StageSpec:
    """One stage of a recipe."""

    name: str
    """Part of its folder's name: the task's kind, or its name under `tasks:`, with the trial."""
    task: Task
    parent: str | None
    """The name of the stage that it reads its weights from."""
    under: str = ""
    """The task's name under the recipe's `tasks:`; "" for a task with a section of its own."""
    trial: int = 0

    def section(self, recipe: Recipe) -> Section | None:
        """The task's own section of the recipe."""
        if self.under:
            return recipe.tasks[self.under]
        found: Section | None = getattr(recipe, self.task.section) if self.task.section else None
        return found

    def data(self, recipe: Recipe) -> Data:
        """The data that the stage uses."""
        own = recipe.tasks[self.under].data if self.under else None
        return own or recipe.data


def specs(recipe: Recipe) -> dict[str, StageSpec]:
    """The stages of a run by name, parents first."""
    found = {
        kind: StageSpec(kind, each, each.parent)
        for kind, each in tasks().items()
        if each.asked(recipe)
    }
    waiting = dict(recipe.tasks)
    while waiting:  # rules refuse a parent that does not exist
        ready = [name for name, each in waiting.items() if each.parent in found]
        for name in ready:
            said = waiting.pop(name)
            for trial in range(said.trials):
                own = f"{name}=t{trial}" if trial else name
                found[own] = StageSpec(own, task(said.kind), said.parent, name, trial)
        if not ready:
            raise ValueError(f"tasks without a parent: {', '.join(waiting)}")
    return found


def spec(recipe: Recipe, name: str) -> StageSpec:
    """The stage of that name. Raises KeyError if the recipe has none."""
    return specs(recipe)[name]


def sections(recipe: Recipe, name: str) -> dict[str, Any]:
    """The resolved sections that the stage reads, as plain JSON values.

    They leave out `about` and `watch`: a changed target or log interval must keep the id of a
    finished run. They leave out the number of trials too.
    """
    return _sections(plain(recipe), _spec(recipe, name))


def _sections(dumped: Mapping[str, Any], found: StageSpec) -> dict[str, Any]:
    if found.under:
        own = {key: each for key, each in dumped["tasks"][found.under].items() if key != "trials"}
        return {"tasks": {found.under: own}}
    return {key: dumped[key] for key in found.task.reads if key in dumped}


def stage_id(recipe: Recipe, name: str) -> str:
    """The stage's name on disk: the recipe's name, the seed, the stage, and the hash of what it
    reads."""
    return _id(plain(recipe), name, lambda each: _spec(recipe, each))


def _id(dumped: Mapping[str, Any], name: str, of: Callable[[str], StageSpec]) -> str:
    found = of(name)
    reads = _sections(dumped, found)
    if found.under:  # the task's name is already in the id, before the hash
        reads = {"section": reads["tasks"][found.under], "trial": found.trial}
    identity = {
        "schema": SCHEMA_VERSION,
        "stage": found.task.kind,
        "reads": reads,
        "parent": _id(dumped, found.parent, of) if found.parent else None,
    }
    return f"{dumped['name']}-s{dumped['seed']}.{name}-{digest(identity)}"


def why_misnamed(said: Mapping[str, Any]) -> str | None:
    """Why the id does not match the content of stage.json; "" if it matches. None if this cannot be
    checked: the recipe is not complete, or the task is not installed."""
    recipe = said.get("recipe")
    if not isinstance(recipe, Mapping) or not {"name", "seed"} <= recipe.keys():
        return None

    def of(name: str) -> StageSpec:
        under, _, trial = name.partition("=t")
        own = recipe.get("tasks", {}).get(under)
        if own is None:
            return StageSpec(name, task(name), task(name).parent)
        return StageSpec(name, task(own["kind"]), own["parent"], under, int(trial or 0))

    try:
        under, trial = said.get("task"), said.get("trial")
        name = (f"{under}=t{trial}" if trial else under) or said["kind"]
        if {said["kind"], *_kinds(recipe)} - tasks().keys():
            return None
        above = of(name).parent
        parent = _id(recipe, above, of) if above else None
        own, named = _id(recipe, name, of), said.get("parent")
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return "its record does not describe a stage"
    if own != said.get("id"):
        return f"its record describes {own}"
    return "" if parent == named else f"its record has the parent {json.dumps(named)}"


def _kinds(recipe: Mapping[str, Any]) -> set[str]:
    """The kinds of the further tasks in the recipe of a stage.json."""
    return {each["kind"] for each in recipe.get("tasks", {}).values()}


def record(recipe: Recipe, name: str) -> dict[str, Any]:
    """The content of the stage's stage.json: its kind, and the sections that it and its parent
    read."""
    found = _spec(recipe, name)
    read = {**(sections(recipe, found.parent) if found.parent else {}), **sections(recipe, name)}
    return {"kind": found.task.kind, "recipe": read} | further(found)


def further(found: StageSpec) -> dict[str, Any]:
    """The extra fields in the stage.json of a task under `tasks:`."""
    return {"task": found.under, "trial": found.trial} if found.under else {}


def of_trial(recipe: Recipe, under: str, trial: int) -> tuple[Recipe, str]:
    """(recipe, stage name) of one trial of a task. The recipe, as `described` stores it, gets at
    least that many trials. Raises KeyError if it has no such task."""
    said = recipe.tasks[under].model_copy(update={"trials": trial + 1})
    whole = recipe.model_copy(update={"tasks": {**recipe.tasks, under: said}})
    names = [
        name for name, each in specs(whole).items() if (each.under, each.trial) == (under, trial)
    ]
    return whole, names[0]


def described(recipe: Recipe, name: str) -> dict[str, Any]:
    """The recipe as stage.json stores it: complete, but of the further tasks only those that the
    stage depends on and the one that is monitored, and without the number of trials."""
    whole = plain(recipe)
    kept: dict[str, Any] = {}
    above: str | None = name
    while above is not None:
        kept |= sections(recipe, above).get("tasks", {})
        above = _spec(recipe, above).parent
    if (watched := recipe.watch.knn_task) is not None:
        said = whole["tasks"][watched]
        kept[watched] = {key: each for key, each in said.items() if key != "trials"}
    return {key: each for key, each in whole.items() if key != "tasks"} | (
        {"tasks": kept} if kept else {}
    )


def stages(recipe: Recipe) -> list[str]:
    """The names of a run's stages, parents first."""
    return list(specs(recipe))


def _spec(recipe: Recipe, name: str) -> StageSpec:
    """As `spec`; for a task without a stage in the recipe, the stage that it would have."""
    found = specs(recipe).get(name)
    return found or StageSpec(name, task(name), task(name).parent)
