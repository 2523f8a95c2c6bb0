"""About how long a stage takes here, from what finished stages like it took."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from harness.errors import StoreError
from harness.recipe.identity import StageKind, digest
from harness.recipe.rules import KNOWN_SIZES
from harness.recipe.schema import Recipe
from harness.store.layout import StageFolder

NEWEST = 300
"""Folders that are looked at: enough to know this machine, few enough to take no time."""


def _alike(recipe: Mapping[str, Any], kind: str) -> str:
    """Equal for stages whose speed is equal: seeds, momentum, temperature and such left out."""
    size = {"size": recipe["data"]["size"], "precision": recipe["precision"]}
    if kind == "pretrain":
        return digest([kind, size, recipe["model"], recipe["augment"], recipe["optim"]["batch"]])
    part = recipe["knn"] if kind == "knn" else recipe["linear"]
    return digest([kind, size, recipe["model"], recipe["data"], part])


def history(runs: Path) -> dict[str, float]:
    """By kind of work: images per second of pre-training, seconds of the other stages."""
    found: dict[str, list[float]] = {}
    for path in _newest(runs):
        try:
            result, described = StageFolder(path).result, StageFolder(path).described
            if result is None or described is None:
                continue
            kind = described["kind"]
            value = result.get("images_per_s" if kind == "pretrain" else "seconds")
            if isinstance(value, int | float) and value > 0:
                found.setdefault(_alike(described["recipe"], kind), []).append(float(value))
        except (StoreError, KeyError, TypeError):
            continue  # a folder of another schema teaches nothing about speed
    return {alike: median(values) for alike, values in found.items()}


def _newest(runs: Path) -> list[Path]:
    try:
        with os.scandir(runs) as entries:
            folders = [e for e in entries if e.is_dir()]
    except OSError:
        return []
    dated = []
    for entry in folders:
        with contextlib.suppress(OSError):  # moved away meanwhile
            dated.append((entry.stat().st_mtime, entry.path))
    return [Path(path) for _, path in sorted(dated, reverse=True)[:NEWEST]]


def seconds(recipe: Recipe, kind: StageKind, measured: Mapping[str, float]) -> float | None:
    """About how long the stage takes; None where nothing like it was measured."""
    found = measured.get(_alike(recipe.model_dump(mode="json"), kind))
    if kind != "pretrain":
        return found
    if recipe.optim.epochs == 0:
        return 0.0
    images = recipe.data.images or KNOWN_SIZES.get(recipe.data.name)
    return recipe.optim.epochs * images / found if found and images else None
