"""What makes two runs the same run: a hash of what a stage reads, resolved, defaults included."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from harness.recipe.schema import SCHEMA_VERSION, Recipe

StageKind = Literal["pretrain", "knn", "linear"]

READS: dict[StageKind, tuple[str, ...]] = {
    "pretrain": ("seed", "data", "augment", "model", "contrast", "optim", "precision"),
    "knn": ("knn",),
    "linear": ("linear",),
}
"""The sections that each stage reads. `about` and `watch` are in none of them: editing a target
or a cadence must not orphan a finished run."""

PARENT: dict[StageKind, StageKind | None] = {
    "pretrain": None,
    "knn": "pretrain",
    "linear": "pretrain",
}


def canonical(value: Any) -> str:
    """One text for equal values: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """The first ten hexadecimal digits of the SHA-256 of `value`'s canonical text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:10]


def sections(recipe: Recipe, kind: StageKind) -> dict[str, Any]:
    """The resolved sections that the stage reads, as plain JSON values."""
    dumped = recipe.model_dump(mode="json")
    return {name: dumped[name] for name in READS[kind]}


def stage_id(recipe: Recipe, kind: StageKind) -> str:
    """The stage's name on disk: recipe's name, seed, stage, and the hash of what it reads."""
    parent = PARENT[kind]
    identity = {
        "schema": SCHEMA_VERSION,
        "stage": kind,
        "reads": sections(recipe, kind),
        "parent": stage_id(recipe, parent) if parent else None,
    }
    return f"{recipe.name}-s{recipe.seed}.{kind}-{digest(identity)}"


def record(recipe: Recipe, kind: StageKind) -> dict[str, Any]:
    """What the stage's stage.json has to say: its kind, and what it and its parent read."""
    parent = PARENT[kind]
    read = {**(sections(recipe, parent) if parent else {}), **sections(recipe, kind)}
    return {"kind": kind, "recipe": read}


def stages(recipe: Recipe) -> list[StageKind]:
    """The stages of a run, parents first."""
    return ["pretrain", "knn"] + (["linear"] if recipe.linear is not None else [])  # type: ignore[return-value]
