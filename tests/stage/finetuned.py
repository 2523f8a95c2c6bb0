"""Fine-tunings, segmentations and detections small enough for a test: float64, one of several
processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

import harness
from harness.data.datasets import open_data
from harness.data.loader import Batch
from harness.data.masks import IGNORED
from harness.evaluate import detection as evaluation
from harness.model.encoder import build
from harness.recipe.identity import spec
from harness.recipe.load import load
from harness.recipe.schema import Recipe
from harness.runtime.world import World
from harness.stage import detection, frozen
from harness.stage.context import Context
from harness.stage.detection import Batch as Scenes
from harness.stage.detection import Detecting
from harness.stage.finetune import Finetuning
from harness.stage.reporter import Silent
from harness.stage.segmentation import Segmenting, Views
from harness.stage.trainable import TaskTraining
from harness.store.layout import StageFolder

RECIPES = Path(harness.__file__).parent.parent / "recipes"

RECIPE: dict[str, Any] = {
    "name": "finetuned",
    "seed": 3,
    "data": {"name": "embedded", "images": 40, "size": 8},
    "augment": {},
    "model": {"backbone": "miniature", "dim": 8, "bn_group": 2},
    "contrast": {"kind": "moco", "queue": 37, "momentum": 0.9, "temperature": 0.2},
    "optim": {"epochs": 0, "batch": 16, "lr": 0.06, "schedule": {"kind": "constant"}},
    "knn": {"k": (1,)},
}
TASK: dict[str, Any] = {
    "kind": "finetune",
    "epochs": 4,
    "batch": 16,
    "lr": 0.05,
    "head_lr": 4.0,
    "norm_decay": 0.0,
    "weight_decay": 1e-2,
    "schedule": {"kind": "step", "drops": [2]},
    "warmup": {"steps": 3, "factor": 0.1},
    "precise_bn": 3,
}

MASKS: dict[str, Any] = {
    "kind": "segmentation",
    "masks": {"name": "scenes", "images": 10, "tested": 9, "size": 24},
    "epochs": 3,
    "batch": 4,
    "lr": 0.05,
    "crop": 21,
    "schedule": {"kind": "step", "drops": [2]},
    "precise_bn": 2,
}


BOXES: dict[str, Any] = {
    "kind": "detection",
    "detector": "small",
    "boxes": {"name": "scenes", "images": 12, "tested": 9, "size": 32},
    "steps": 3,
    "batch": 8,
    "shortest": [28, 32, 40],
    "lr": 0.05,
    "schedule": {"kind": "step", "drops": [2]},
    "precise_bn": 1,
}

VOC_C4 = (
    *("model.weights=null", "data.name=embedded", "data.folder=null", "data.size=24"),
    *("tasks.voc.steps=3", "tasks.voc.batch=2", "tasks.voc.pad_group=1", "tasks.voc.trials=1"),
    *("tasks.voc.schedule.drops=[2]", "tasks.voc.warmup.steps=2", "tasks.voc.precise_bn=1"),
    *("tasks.voc.shortest=[48, 56, 64]", "tasks.voc.tested_at=56", "tasks.voc.longest=96"),
    *("watch.checkpoint_steps=1", "watch.evaluations=1"),
)
"""Changes to the shipped recipe: three steps from random weights, on images so small that each has
few regions. A pad group of one image, so that two processes can share two images."""

OUTLINES: dict[str, Any] = {
    "kind": "instances",
    "detector": "mask_fpn",
    "boxes": {"name": "scenes", "images": 4, "tested": 2, "size": 32},
    "steps": 1,
    "batch": 4,
    "lr": 1e-3,
    "schedule": {"kind": "constant"},
}
"""On a ResNet: `miniature` carries no feature pyramid."""


class Shared(Finetuning):
    """In float64. Each process computes all views, as their last bit depends on how many are
    computed at once, and takes its share."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.loader.share = (0, 1)
        self.model.double()

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        world = self.context.world
        for batch in super().batches(first, last):
            views = tuple(world.share(view.double()) for view in batch.views)
            yield replace(batch, views=views, index=world.share(batch.index))


def context(
    world: World, task: dict[str, Any], trial: int = 0, backbone: str = "miniature"
) -> Context:
    """A stage of the task on 40 images, without folders."""
    said = RECIPE | {"model": RECIPE["model"] | {"backbone": backbone}}
    made = Recipe.model_validate(
        said | {"tasks": {"ft": task | {"trials": trial + 1}}}, strict=False
    )
    nowhere = Path()
    return Context(
        recipe=made,
        folder=StageFolder(nowhere),
        attempt=None,
        parent=None,
        data=open_data(made.data, nowhere),
        data_root=nowhere,
        world=world,
        reporter=Silent(),
        stopping=lambda: False,
        asked=spec(made, f"ft=t{trial}" if trial else "ft"),
    )


def training(
    world: World, task: dict[str, Any] | None = None, trial: int = 0
) -> TaskTraining[Batch]:
    """The loop at its start, from a random network."""
    where = context(world, task or TASK, trial)
    made = build(where.recipe.model, where.recipe.seed)
    with mock.patch.object(frozen, "encoder", return_value=made):
        return TaskTraining(where, Shared(where))


def in_float64(world: World) -> dict[str, Tensor]:
    """All tensors after eight steps and PreciseBN, and the losses' means over the processes."""
    loop = training(world)
    losses = [loop.train(batch) for batch in loop.work.batches(0, loop.total)]
    momentum = [
        x for group in loop.optimiser.state() for each in group.values() for x in each.values()
    ]
    before = {
        f"before {k}": v.clone() for k, v in loop.work.model.named_buffers() if "running" in k
    }
    loop.finish()
    found = {k: v.detach().clone() for k, v in loop.work.model.state_dict().items()}
    found |= {f"momentum {n}": x.clone() for n, x in enumerate(momentum)}
    return {**found, **before, "losses": world.sum(torch.stack(losses)) / world.size}


class Hidden(Segmenting):
    """In float64, with different numbers of counted pixels on each process."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.model.double()

    def batches(self, first: int, last: int) -> Iterator[Views]:
        for step, (images, masks) in zip(
            range(first, last), super().batches(first, last), strict=True
        ):
            numbers = self.context.world.share(self.indices(step))
            hidden = masks.clone()
            for row, number in enumerate(numbers.tolist()):
                hidden[row, : 2 * number] = IGNORED
            yield images.double(), hidden


def segmenting(world: World, task: dict[str, Any], trial: int = 0) -> TaskTraining[Views]:
    where = context(world, task, trial)
    made = build(where.recipe.model, where.recipe.seed)
    with mock.patch.object(frozen, "encoder", return_value=made):
        return TaskTraining(where, Hidden(where))


def segmented_in_float64(world: World) -> dict[str, Tensor]:
    """All tensors after the last step and PreciseBN, and the losses' means over the processes."""
    loop = segmenting(world, MASKS)
    losses = [loop.train(batch) for batch in loop.work.batches(0, loop.total)]
    loop.finish()
    found = {k: v.detach().clone() for k, v in loop.work.model.state_dict().items()}
    return {**found, "losses": world.sum(torch.stack(losses)) / world.size}


class Doubled(Detecting):
    """In float64."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.model.double()


def detecting(
    world: World, task: dict[str, Any], trial: int = 0, backbone: str = "miniature"
) -> TaskTraining[Scenes]:
    where = context(world, task, trial, backbone)
    made = build(where.recipe.model, where.recipe.seed)
    with mock.patch.object(frozen, "encoder", return_value=made):
        return TaskTraining(where, Doubled(where))


@contextlib.contextmanager
def images_in_float64() -> Iterator[None]:
    """Context in which detectors see images of float64."""
    to_network = detection.to_network

    def wide(*given: Any) -> list[Tensor]:
        return [image.double() for image in to_network(*given)]

    with (
        mock.patch.object(detection, "to_network", wide),
        mock.patch.object(evaluation, "to_network", wide),
    ):
        yield


def detected_in_float64(world: World) -> dict[str, Tensor]:
    """All tensors after the last step and PreciseBN, the losses' means over the processes, and the
    average precisions."""
    with images_in_float64():
        loop = detecting(world, BOXES)
        losses = [loop.train(batch) for batch in loop.work.batches(0, loop.total)]
        loop.finish()
        loop.work.model.eval()
        with torch.no_grad():
            values = loop.work.evaluate()
    found = {k: v.detach().clone() for k, v in loop.work.model.state_dict().items()}
    measured = {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}
    return {**found, **measured, "losses": world.sum(torch.stack(losses)) / world.size}


def voc_c4_in_float64(world: World, root: Path) -> dict[str, Tensor]:
    """The weights after the last step of the shipped recipe, and the losses' means over the
    processes."""
    recipe = load(RECIPES / "detection_voc_c4.yaml", VOC_C4)
    assert isinstance(recipe, Recipe)
    where = context(world, BOXES)
    where = replace(where, recipe=recipe, data_root=root, asked=spec(recipe, "voc"))
    made = build(recipe.model, recipe.seed)
    with images_in_float64():
        with mock.patch.object(frozen, "encoder", return_value=made):
            loop = TaskTraining(where, Doubled(where))
        losses = [loop.train(batch) for batch in loop.work.batches(0, loop.total)]
    found = {k: v.detach().clone() for k, v in loop.work.model.named_parameters()}
    return {**found, "losses": world.sum(torch.stack(losses)) / world.size}


def masked_in_float64(world: World) -> dict[str, Tensor]:
    """The backbone's and the mask head's tensors after a step, and its loss."""
    with images_in_float64():
        loop = detecting(world, OUTLINES, backbone="resnet18")
        losses = [loop.train(batch) for batch in loop.work.batches(0, loop.total)]
    state = loop.work.model.state_dict().items()
    found = {k: v.detach().clone() for k, v in state if "mask" in k or "backbone" in k}
    return {**found, "losses": world.sum(torch.stack(losses)) / world.size}
