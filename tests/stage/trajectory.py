"""A short training of a mechanism in one of several processes, for comparing numbers of them."""

from __future__ import annotations

import math
from typing import Any

import torch

from harness.certify import tiny
from harness.certify.trajectory import train, training
from harness.model.groups import broadcast_running_statistics
from harness.recipe.schema import Recipe
from harness.runtime.world import World
from harness.stage.knn import measure

BATCH, SIZE, IMAGES = 16, 8, 40

CONTRASTS: dict[str, dict[str, Any]] = {
    name: {"queue": 64 if name == "symmetric" else 37, **said} if said["kind"] == "moco" else said
    for name, said in tiny.CONTRASTS.items()
} | {"supervised": {"kind": "supervised", "smoothing": 0.1}}


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
            "dim": 10 if contrast == "supervised" else 8,
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


def in_float64(
    world: World, contrast: str, group: int, running_stats: str, steps: int = 12
) -> dict[str, Any]:
    """Steps in float64. In twelve the queue and the memory bank are filled several times."""
    made = recipe(contrast, group=group, running_stats=running_stats, steps=steps)
    return train(world, made, torch.float64)


def in_float32(world: World, contrast: str) -> dict[str, Any]:
    """Four steps in float32."""
    return train(world, recipe(contrast, steps=4), torch.float32)


def one_begins_apart(world: World, tensor: str) -> None:
    """Rank 1 begins with another last number of the tensor."""
    loop = training(world, recipe("moco"))
    if world.rank == 1:
        loop.mechanism.state_dict()[tensor].reshape(-1)[-1:].mul_(1 + 1e-6)
    loop.run()


def one_overflows(world: World) -> list[tuple[float, torch.Tensor]]:
    """Scale and weights after each of four steps; in the third, rank 1 alone overflows."""
    loop = training(world, recipe("moco", steps=4, precision="fp16"))
    weight = loop.mechanism.query.backbone.conv1.weight
    if world.rank == 1:
        weight.register_hook(lambda g: g * math.inf if loop.step == 2 else g)
    found = []
    for batch in loop.loader.batches(0, loop.total):
        loop.train(batch)
        found.append((loop.scaler.get_scale(), weight.detach().clone()))
    return found


def health(world: World, contrast: str) -> list[dict[str, float]]:
    """Health after two steps: measured by itself, then from the kNN monitor's pass over either
    layer."""
    made = recipe(contrast)
    loop = training(world, made)
    for batch in loop.loader.batches(0, 2):
        loop.train(batch)
    broadcast_running_statistics(loop.mechanism, world)
    found = [loop.health.measure(loop.mechanism, None)]
    for layer in ("backbone", "output"):
        kept, query = loop.health.kept(), loop.mechanism.query
        assert made.knn is not None
        protocol = made.knn.model_copy(update={"layer": layer})
        measure(query, made, protocol, loop.context.data, world, kept=kept)
        found.append(loop.health.measure(loop.mechanism, kept))
    return found
