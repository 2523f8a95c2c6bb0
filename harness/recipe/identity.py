"""What makes two runs the same run: a hash of what a stage reads, resolved, defaults included."""

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
    """One text for equal values: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """The first ten hexadecimal digits of the SHA-256 of `value`'s canonical text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:10]


@dataclass(frozen=True)
class StageSpec:
    """One stage that a recipe asks for."""

    name: str
    """Part of its folder's name: the task's kind, or its name under `tasks:`, with the trial."""
    task: Task
    parent: str | None
    """The name of the stage that it builds on."""
    under: str = ""
    """Its task's name under the recipe's `tasks:`; "" of what stands in a section of its own."""
    trial: int = 0

    def section(self, recipe: Recipe) -> Section | None:
        """What the recipe says of the task alone."""
        if self.under:
            return recipe.tasks[self.under]
        found: Section | None = getattr(recipe, self.task.section) if self.task.section else None
        return found

    def data(self, recipe: Recipe) -> Data:
        """The data that the stage is about."""
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
    while waiting:  # rules refuse a parent that nothing is
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
    """The stage of that name. Raises KeyError if the recipe asks for none."""
    return specs(recipe)[name]


def sections(recipe: Recipe, name: str) -> dict[str, Any]:
    """The resolved sections that the stage reads, as plain JSON values.

    `about` and `watch` are in none of them: editing a target or a cadence must not orphan a
    finished run. Nor is the number of trials.
    """
    return _sections(plain(recipe), _spec(recipe, name))


def _sections(dumped: Mapping[str, Any], found: StageSpec) -> dict[str, Any]:
    if found.under:
        own = {key: each for key, each in dumped["tasks"][found.under].items() if key != "trials"}
        return {"tasks": {found.under: own}}
    return {key: dumped[key] for key in found.task.reads if key in dumped}


def stage_id(recipe: Recipe, name: str) -> str:
    """The stage's name on disk: recipe's name, seed, stage, and the hash of what it reads."""
    return _id(plain(recipe), name, lambda each: _spec(recipe, each))


def _id(dumped: Mapping[str, Any], name: str, of: Callable[[str], StageSpec]) -> str:
    found = of(name)
    reads = _sections(dumped, found)
    if found.under:  # its name stands before the hash
        reads = {"section": reads["tasks"][found.under], "trial": found.trial}
    identity = {
        "schema": SCHEMA_VERSION,
        "stage": found.task.kind,
        "reads": reads,
        "parent": _id(dumped, found.parent, of) if found.parent else None,
    }
    return f"{dumped['name']}-s{dumped['seed']}.{name}-{digest(identity)}"


def why_misnamed(said: Mapping[str, Any]) -> str | None:
    """Why a stage.json does not say what its id is the hash of; "" if it does, None if that cannot
    be told: it has no whole recipe, or is of a task that is not installed."""
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
        return "its record is of no stage"
    if own != said.get("id"):
        return f"its record is that of {own}"
    return "" if parent == named else f"its record says parent {json.dumps(named)}"


def _kinds(recipe: Mapping[str, Any]) -> set[str]:
    """The kinds of the further tasks that a stage.json's recipe has."""
    return {each["kind"] for each in recipe.get("tasks", {}).values()}


def record(recipe: Recipe, name: str) -> dict[str, Any]:
    """What the stage's stage.json has to say: its kind, and what it and its parent read."""
    found = _spec(recipe, name)
    read = {**(sections(recipe, found.parent) if found.parent else {}), **sections(recipe, name)}
    return {"kind": found.task.kind, "recipe": read} | further(found)


def further(found: StageSpec) -> dict[str, Any]:
    """What the stage.json of a task under `tasks:` has besides."""
    return {"task": found.under, "trial": found.trial} if found.under else {}


def of_trial(recipe: Recipe, under: str, trial: int) -> tuple[Recipe, str]:
    """(the recipe with that many trials of the task at least, the name of the trial's stage), of a
    recipe as `described` keeps it. Raises KeyError if it has no such task."""
    said = recipe.tasks[under].model_copy(update={"trials": trial + 1})
    whole = recipe.model_copy(update={"tasks": {**recipe.tasks, under: said}})
    names = [
        name for name, each in specs(whole).items() if (each.under, each.trial) == (under, trial)
    ]
    return whole, names[0]


def described(recipe: Recipe, name: str) -> dict[str, Any]:
    """The recipe as the stage's stage.json has it: whole, but of further tasks only those that the
    stage is made of, and not how many trials there are."""
    whole = plain(recipe)
    kept: dict[str, Any] = {}
    above: str | None = name
    while above is not None:
        kept |= sections(recipe, above).get("tasks", {})
        above = _spec(recipe, above).parent
    return {key: each for key, each in whole.items() if key != "tasks"} | (
        {"tasks": kept} if kept else {}
    )


def stages(recipe: Recipe) -> list[str]:
    """The names of a run's stages, parents first."""
    return list(specs(recipe))


def _spec(recipe: Recipe, name: str) -> StageSpec:
    """As `spec`, and of a task that the recipe has no stage of, what it would be."""
    found = specs(recipe).get(name)
    return found or StageSpec(name, task(name), task(name).parent)
