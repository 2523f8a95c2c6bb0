"""A run small enough for a test: a second on one core."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import forked
import torch

from harness.launch.stage_record import describe
from harness.plan import make_plan
from harness.recipe.schema import Recipe
from harness.runtime import checkpoint
from harness.stage.execute import Job, execute
from harness.stage.reporter import Silent
from harness.store.layout import StageFolder, stage_folder

TEXT = """\
name: tiny
data: {name: embedded, images: 80, size: 16}
augment: {crop_scale: [0.2, 1.0]}
model: {backbone: miniature, dim: 16, bn_group: 8}
contrast: {kind: moco, queue: 50, momentum: 0.9, temperature: 0.2}
optim: {epochs: 3, batch: 16, lr: 0.05, schedule: {kind: cosine}}
knn: {k: [5, 1], temperature: 0.1, queries: 50}
linear: {epochs: 4, batch: 32, lr: [0.05, 0.5], drops: [2], views: center}
watch: {log_steps: 4, knn_epochs: 1, checkpoint_steps: 2, control: false}
"""


def write(folder: Path, *, old: str = "", new: str = "") -> Path:
    """The tiny recipe as a file, with one replacement."""
    path = folder / "tiny.yaml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new) if old else TEXT)
    return path


def run(
    recipe: Path,
    runs: Path,
    sets: tuple[str, ...] = (),
    *,
    stopping: Callable[[], bool] = lambda: False,
    kinds: tuple[str, ...] = ("pretrain", "knn", "linear"),
    data: Path = Path("/nonexistent"),
    device: str = "cpu",
) -> dict[str, StageFolder]:
    """Run the recipe's stages here, one attempt each; returns their folders by kind."""
    folders = {}
    for stage in make_plan(recipe, sets, runs).stages:
        folder = stage_folder(runs, stage.id)
        folders[stage.kind] = folder
        if stage.kind in kinds and folder.result is None:
            folder.create(describe(stage, "tiny"))
            state = execute(Job(folder.path, data, device), Silent(), stopping)
            if state == "interrupted":
                break
    return folders


def begin(recipe: Path, runs: Path, *kinds: str) -> ForkServerProcess:
    """The same in a process of its own, which may be killed."""
    return forked.start(functools.partial(run, recipe, runs, kinds=kinds), said=Path(os.devnull))


def final_state(folder: StageFolder) -> dict[str, Any]:
    """The newest checkpoint's state."""
    found = checkpoint.newest(folder.checkpoints, print)
    assert found is not None
    return found[1]


def same(one: Any, other: Any) -> bool:
    """Equal to the bit, through dicts and lists."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def recipe_of(folder: StageFolder) -> Recipe:
    """The recipe that the stage's folder holds."""
    assert folder.described is not None
    return Recipe.model_validate(folder.described["recipe"], strict=False)
