"""A step of the small detector on scenes of different sizes, on any number of processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.data.scenes import scene
from harness.model.detection.boxes import Target
from harness.model.detection.build import build_detector
from harness.model.detection.detector import Detector
from harness.model.synchronised import synchronise_norms
from harness.recipe.schema import Model
from harness.runtime.world import World

MODEL = Model.model_validate({"backbone": "miniature", "bn_group": 2})


def batch(count: int, *, sides: tuple[int, ...] = (40, 48, 36, 44)) -> tuple[Any, ...]:
    """Scenes of different sizes with their targets and keys, in float64."""
    images, targets, keys = [], [], []
    for n in range(count):
        made = scene("train", n, sides[n % len(sides)])
        images.append(made.image.double() / 127.5 - 1)
        targets.append(Target(made.boxes, made.labels))
        keys.append(1000 + n)
    return images, targets, keys


def tiny() -> Detector:
    return build_detector("small", MODEL, 10, 2, 0, "trial", 0).double()


def step(world: World, count: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """One step's losses, means over processes, then the gradients and running statistics."""
    network = tiny()
    synchronise_norms(network, batch=count, world=world)
    share = count // world.size
    own = slice(world.rank * share, (world.rank + 1) * share)
    images, targets, keys = batch(count)
    losses = network(images[own], targets[own], keys[own])
    torch.stack(list(losses.values())).sum().backward()
    gradients = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    for each in gradients.values():
        world.average_(each)
    means = {n: float(world.sum(each.detach())) / world.size for n, each in losses.items()}
    return means, gradients | {n: b for n, b in network.named_buffers() if "running" in n}
