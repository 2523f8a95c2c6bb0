"""A short training of a mechanism in one of several processes, for comparing numbers of them."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from harness.contrast.build import build_mechanism
from harness.model.groups import fit_groups, share_running_statistics
from harness.recipe.schema import Recipe
from harness.runtime import keyed
from harness.runtime.optimiser import sgd
from harness.runtime.world import World

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


def recipe(contrast: str, *, group: int = 2, running_stats: str = "first_group") -> Recipe:
    """A recipe of 16 images a step in groups of `group`."""
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
        "optim": {"epochs": 1, "batch": BATCH, "lr": 0.06, "schedule": {"kind": "constant"}},
        "knn": {"k": (1,)},
    }
    if group == BATCH:
        value["contrast"] = {**CONTRASTS[contrast], "shuffle": False}
    return Recipe.model_validate(value, strict=False)


def train(world: World, made: Recipe, steps: int, dtype: torch.dtype) -> dict[str, Any]:
    """Losses of `steps` steps over all processes, and the state at their end.

    Views are drawn here, in float64, so that only the mechanism is compared.
    """
    torch.set_num_threads(1)
    mechanism = build_mechanism(made, images=IMAGES, world=world, data_root=None)  # type: ignore[arg-type]
    mechanism.to(dtype)
    fit_groups(mechanism, batch=BATCH, world=world)
    optimiser = sgd((p for p in mechanism.parameters() if p.requires_grad), made.optim)
    model: torch.nn.Module = mechanism
    if world.size > 1:
        model = DistributedDataParallel(mechanism, broadcast_buffers=False)
    losses = []
    for step in range(steps):
        index = keyed.permutation(keyed.key("index", step), IMAGES)[:BATCH]
        draw = torch.Generator().manual_seed(step)
        x = torch.randn(2, BATCH, 3, SIZE, SIZE, generator=draw, dtype=torch.float64).to(dtype)
        optimiser.zero_grad()
        loss, _ = model(world.share(x[0]), world.share(x[1]), world.share(index), step)
        loss.backward()
        optimiser.step()
        mechanism.follow()
        losses.append(world.sum(loss.detach()).item() / world.size)
    share_running_statistics(mechanism, world)
    state = {
        name: value.clone()
        for name, value in mechanism.state_dict().items()
        if isinstance(value, torch.Tensor)
    }
    if made.contrast.kind == "moco":  # the key encoder's statistics are never read, nor shared
        state = {k: v for k, v in state.items() if not (k.startswith("key.") and "running" in k)}
    return {"losses": losses, "state": state}


def in_float64(world: World, contrast: str, group: int, running_stats: str) -> dict[str, Any]:
    """Thirty steps in float64."""
    return train(
        world, recipe(contrast, group=group, running_stats=running_stats), 30, torch.float64
    )


def in_float32(world: World, contrast: str) -> dict[str, Any]:
    """Four steps in float32."""
    return train(world, recipe(contrast), 4, torch.float32)
