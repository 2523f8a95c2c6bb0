"""Time a step of each task that trains the network further, and its floor, using the real loop.

The network is as random as it is at the start; its layers, data and batches are the recipe's.
"""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from harness.bench.clock import Timed, Timing, measure
from harness.bench.step import whole_blocks
from harness.bench.tasks import made_folder, untrained
from harness.data.datasets import DataSet, open_data
from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.recipe.identity import spec
from harness.recipe.schema import Recipe
from harness.recipe.training import TrainedTask
from harness.runtime.world import World
from harness.stage.context import Context
from harness.stage.reporter import Silent
from harness.stage.trainable import TaskTraining

RATE = 1e-9
"""Learning rate while a step is timed: random weights stay as good as they are."""


def task_steps(
    of: Recipe,
    data: DataSet,
    data_root: AnyRoot,
    device: torch.device,
    runs: Path,
    *,
    steps: int,
    rounds: int,
    warm_up: int,
    left_out: Callable[[str], object],
) -> dict[str, dict[str, Timing]]:
    """Seconds per step of each task by its name: see `whole`.

    Args:
        data: the recipe's own, on the device.
        runs: an empty folder for the stages.
        left_out: called with the reason for each task whose data is missing or does not fit.
    """
    names = trained_tasks(of)
    if not names:
        return {}
    recipe = _untrained_recipe(of)
    untrained(recipe, data, runs)
    found = {}
    for name in names:
        asked = spec(recipe, name)
        folder, own = made_folder(recipe, name, runs), asked.data(recipe)
        try:
            context = Context(
                recipe=recipe,
                folder=folder,
                attempt=None,
                parent=folder.parent,
                data=data if own == recipe.data else open_data(own, data_root).on(device),
                data_root=data_root,
                world=World.alone(device),
                reporter=Silent(),
                stopping=lambda: False,
                asked=asked,
            )
            begun = _training(context)
        except DataError as error:
            left_out(f"tasks.{name}: not measured: {error}")
            continue
        if begun is not None:
            found[name] = whole(begun, steps=steps, rounds=rounds, warm_up=warm_up)
    return found


def trained_tasks(recipe: Recipe) -> list[str]:
    """Names of the tasks that train the network further."""
    return [name for name, said in recipe.tasks.items() if isinstance(said, TrainedTask)]


def _untrained_recipe(of: Recipe) -> Recipe:
    """The recipe without pre-training, whose tasks change the weights as little as they can."""
    said = of.model_dump(mode="json")
    for name, task in of.tasks.items():
        if isinstance(task, TrainedTask):
            said["tasks"][name] |= {"lr": RATE}
    said["model"] |= {"weights": None}
    said["optim"] |= {"epochs": 0}
    return Recipe.model_validate_json(json.dumps(said | {"continue_from": None}))


def _training(context: Context) -> TaskTraining[Any] | None:
    """The stage's training at its start, by the function `training` beside the one that the task
    names; None if there is no such function."""
    module, _, _ = context.asked.task.function.partition(":")
    make = getattr(importlib.import_module(module), "training", None)
    return None if make is None else make(context)


def whole(begun: TaskTraining[Any], *, steps: int, rounds: int, warm_up: int) -> dict[str, Timing]:
    """Seconds per step of: floor (forward and backward of the network, of a detector with its
    losses, on a batch in place), step (with loss and optimiser), end to end (the loop, with its
    input, stop checks and logging), input (the pipeline alone)."""
    work, context = begun.work, begun.context
    if (loader := getattr(work, "loader", None)) is not None:
        steps = whole_blocks(loader, steps)
    batch = next(iter(work.batches(0, 1)))
    ready = work.in_place(batch)
    alone = copy.copy(work)
    alone.model = copy.deepcopy(work.model)

    def floor() -> None:
        for _ in range(steps):
            for parameter in alone.model.parameters():
                parameter.grad = None
            torch.autograd.backward(alone.outputs(ready).sum())

    def step() -> None:
        for _ in range(steps):
            begun.train(batch)

    def before_loop() -> None:
        begun.drain()
        begun.step = 0

    def loop() -> None:
        for n, each in enumerate(work.batches(0, steps), 1):
            begun.train(each)
            synchronises = n % context.recipe.watch.log_steps == 0 or n == steps
            context.asked_to_stop(synchronising=synchronises)
            if synchronises:
                begun.drain()

    def reading() -> None:
        for _ in work.batches(0, steps):
            pass

    found = measure(
        {
            "floor": floor,
            "step": step,
            "end to end": Timed(loop, before_loop),
            "input": reading,
        },
        context.device,
        rounds=rounds,
        warm_up=warm_up,
    )
    return {name: timing.over(steps) for name, timing in found.items()}
