"""What makes two runs the same run: a hash of what a stage reads, resolved, defaults included."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from harness.recipe.schema import SCHEMA_VERSION, Recipe
from harness.recipe.section import plain
from harness.spec.registry import task, tasks


def canonical(value: Any) -> str:
    """One text for equal values: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """The first ten hexadecimal digits of the SHA-256 of `value`'s canonical text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:10]


def sections(recipe: Recipe, kind: str) -> dict[str, Any]:
    """The resolved sections that the task's stage reads, as plain JSON values.

    `about` and `watch` are in none of them: editing a target or a cadence must not orphan a
    finished run.
    """
    dumped = plain(recipe)
    return {name: dumped[name] for name in task(kind).reads if name in dumped}


def stage_id(recipe: Recipe, kind: str) -> str:
    """The stage's name on disk: recipe's name, seed, task, and the hash of what it reads."""
    parent = task(kind).parent
    identity = {
        "schema": SCHEMA_VERSION,
        "stage": kind,
        "reads": sections(recipe, kind),
        "parent": stage_id(recipe, parent) if parent else None,
    }
    return f"{recipe.name}-s{recipe.seed}.{kind}-{digest(identity)}"


def record(recipe: Recipe, kind: str) -> dict[str, Any]:
    """What the stage's stage.json has to say: its kind, and what it and its parent read."""
    parent = task(kind).parent
    read = {**(sections(recipe, parent) if parent else {}), **sections(recipe, kind)}
    return {"kind": kind, "recipe": read}


def stages(recipe: Recipe) -> list[str]:
    """The kinds of a run's stages, parents first."""
    return [kind for kind, each in tasks().items() if each.asked(recipe)]
