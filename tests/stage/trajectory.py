"""A short training of a mechanism in one of several processes, for comparing numbers of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from harness.data.datasets import open_data
from harness.model.groups import broadcast_running_statistics
from harness.recipe.schema import Recipe
from harness.runtime.world import World
from harness.stage.context import Context
from harness.stage.pretrain import Pretraining
from harness.stage.reporter import Silent
from harness.store.layout import StageFolder

BATCH, SIZE, IMAGES = 16, 8, 40

CONTRASTS: dict[str, dict[str, Any]] = {
    "moco": {"kind": "moco", "queue": 37, "momentum": 0.9, "temperature": 0.2},
    "symmetric": {
        "kind": "moco",
        "queue": 64,
        "momentum": 0.9,
        "temperature": 0.2,
        "symmetric": True,
    },
    "unshuffled": {
        "kind": "moco",
        "queue": 37,
        "momentum": 0.9,
        "temperature": 0.2,
        "shuffle": False,
    },
    "end_to_end": {"kind": "end_to_end", "temperature": 0.2},
    "shared": {"kind": "end_to_end", "temperature": 0.2, "shared": True},
    "memory_bank": {"kind": "memory_bank", "negatives": 20, "temperature": 0.3},
    "nce": {"kind": "memory_bank", "negatives": 20, "temperature": 0.3, "loss": "nce"},
}


def recipe(
    contrast: str,
    *,
    group: int = 2,
    running_stats: str = "first_group",
    steps: int = 2,
    precision: str = "fp32",
) -> Recipe:
    """A recipe of 16 images a step in groups of `group`, two steps an epoch."""
    value = {
        "name": "trajectory",
        "seed": 3,
        "data": {"name": "embedded", "images": IMAGES, "size": SIZE},
        "augment": {},
        "model": {
            "backbone": "miniature",
            "dim": 8,
            "bn_group": group,
            "running_stats": running_stats,
        },
        "contrast": CONTRASTS[contrast],
        "optim": {
            "epochs": steps // 2,
            "batch": BATCH,
            "lr": 0.06,
            "schedule": {"kind": "constant"},
        },
        "precision": precision,
        "knn": {"k": (1,)},
    }
    if group == BATCH:
        value["contrast"] = {**CONTRASTS[contrast], "shuffle": False}
    return Recipe.model_validate(value, strict=False)


def training(world: World, made: Recipe) -> Pretraining:
    """The stage's own loop at its beginning, without a folder."""
    torch.set_num_threads(1)
    nowhere = Path("/nonexistent")
    data = open_data(made.data, nowhere)
    folder = StageFolder(nowhere)
    return Pretraining(
        Context(made, folder, None, None, data, nowhere, world, Silent(), stopping=lambda: False)
    )


def train(world: World, made: Recipe, dtype: torch.dtype) -> dict[str, Any]:
    """Losses of the recipe's steps over all processes, and the state at their end.

    The stage's own steps, on the batches of its own loader; only the arithmetic's width is changed.
    Each process cuts all views, on the CPU, and takes its share: their float32 depends in its last
    bit on how many are cut at once, and where.
    """
    loop = training(world, made)
    loop.loader.share, loop.loader.device = (0, 1), torch.device("cpu")
    loop.mechanism.to(dtype)
    model = loop.distributed()
    for batch in loop.loader.batches(0, loop.total):
        views = tuple(world.share(view.to(world.device, dtype)) for view in batch.views)
        loop.train(model, replace(batch, views=views, index=world.share(batch.index)))
    broadcast_running_statistics(loop.mechanism, world)
    losses = world.sum(torch.stack(loop._block.losses)) / world.size
    state = {
        name: value.cpu().clone()
        for name, value in loop.mechanism.state_dict().items()
        if isinstance(value, torch.Tensor)
    }
    if made.contrast.kind == "moco":  # the key encoder's statistics are never read, nor shared
        state = {k: v for k, v in state.items() if not (k.startswith("key.") and "running" in k)}
    return {"losses": losses.tolist(), "state": state}


def in_float64(world: World, contrast: str, group: int, running_stats: str) -> dict[str, Any]:
    """Thirty steps in float64."""
    made = recipe(contrast, group=group, running_stats=running_stats, steps=30)
    return train(world, made, torch.float64)


def in_float32(world: World, contrast: str) -> dict[str, Any]:
    """Four steps in float32."""
    return train(world, recipe(contrast, steps=4), torch.float32)


def one_overflows(world: World) -> list[tuple[float, torch.Tensor]]:
    """Scale and weights after each of four steps; in the third, rank 1 alone overflows."""
    loop = training(world, recipe("moco", steps=4, precision="fp16"))
    weight = loop.mechanism.query.backbone.conv1.weight
    if world.rank == 1:
        weight.register_hook(lambda g: g * math.inf if loop.step == 2 else g)
    model, found = loop.distributed(), []
    for batch in loop.loader.batches(0, loop.total):
        loop.train(model, batch)
        found.append((loop.scaler.get_scale(), weight.detach().clone()))
    return found
