"""Recipes that take seconds, on generated images, for any number of processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.plan import Plan, make_plan
from harness.store import atomic

GROUP = 2
"""Images normalised together: the minimum, so that many processes can share a small batch."""

CONTRASTS: dict[str, dict[str, Any]] = {
    "moco": {"kind": "moco", "momentum": 0.9, "temperature": 0.2},
    "symmetric": {"kind": "moco", "momentum": 0.9, "temperature": 0.2, "symmetric": True},
    "unshuffled": {"kind": "moco", "momentum": 0.9, "temperature": 0.2, "shuffle": False},
    "end_to_end": {"kind": "end_to_end", "temperature": 0.2},
    "shared": {"kind": "end_to_end", "temperature": 0.2, "shared": True},
    "memory_bank": {"kind": "memory_bank", "negatives": 20, "temperature": 0.3},
    "nce": {"kind": "memory_bank", "negatives": 20, "temperature": 0.3, "loss": "nce"},
}
"""The three mechanisms of v1's Figure 2, with the variants of each."""
MECHANISMS = ("moco", "end_to_end", "memory_bank")


def batch(processes: int) -> int:
    """Images per step: at least 16, in whole groups on each of the processes."""
    return GROUP * processes * math.ceil(16 / (GROUP * processes))


def recipe(
    name: str, contrast: str, *, processes: int, steps: int, size: int, epoch: int = 5
) -> dict[str, Any]:
    """A recipe that the given number of processes can share.

    Args:
        size: side of the images in pixels.
        epoch: steps of an epoch, after which a checkpoint is written.
    """
    images = epoch * batch(processes)
    chosen = dict(CONTRASTS[contrast])
    if chosen["kind"] == "moco":
        chosen["queue"] = 2 * batch(processes) + 5  # writes wrap around the ring's end
    return {
        "name": name,
        "seed": 3,
        "data": {"name": "embedded", "images": images, "size": size},
        "augment": {},
        "model": {"backbone": "miniature", "dim": 8, "bn_group": GROUP},
        "contrast": chosen,
        "optim": {
            "epochs": math.ceil(steps / epoch),
            "steps": steps,
            "batch": batch(processes),
            "lr": 0.03,
            "schedule": {"kind": "constant"},
        },
        "knn": {"k": [1], "queries": 50},
        "linear": None,
        "watch": {"log_steps": 2, "checkpoint_steps": 1000, "knn_epochs": 0, "control": False},
    }


def plan(recipes: Sequence[dict[str, Any]], folder: Path, runs: Path) -> Plan:
    """The recipes' pre-trainings as one plan; the recipes are written to `folder`.

    Raises:
        StoreError: the folder cannot be written.
    """
    plans = []
    for each in recipes:
        path = folder / f"{each['name']}.yaml"
        atomic.write_json(path, each)
        plans.append(make_plan(path, (), runs))
    stages = [s for made in plans for s in made.stages if s.kind == "pretrain"]
    return replace(plans[0], stages=tuple(stages))
