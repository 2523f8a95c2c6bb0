"""The control of a single recipe: the same network at its random initial weights, by kNN."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from harness.recipe.claims import CONTROL
from harness.recipe.evaluation import KnnTask
from harness.recipe.expand import Member
from harness.recipe.identity import StageSpec, specs, stage_id
from harness.recipe.schema import Recipe, Watch
from harness.recipe.section import plain
from harness.recipe.task import TaskSection

BATCH = 256
"""Images per step of no training. A power of two, so that any usual number of processes divides
it."""


def untrained(recipe: Recipe) -> Recipe | None:
    """The control of a recipe: its seed, data, network, precision and kNN, nothing else.

    All fields that change no number of it have fixed values, so that recipes with the same network
    and data share one control, whatever their method, views and optimiser.

    Returns:
        None if the recipe wants none, measures no kNN, or is itself an untrained network.
    """
    if not recipe.watch.control or not (recipe.optim.epochs or recipe.model.weights):
        return None
    further = {
        name: said
        for name, said in recipe.tasks.items()
        if isinstance(said, KnnTask) and said.parent == "pretrain"
    }
    if recipe.knn is None and not further:
        return None
    batch = _batch(recipe.optim.batch)
    model: dict[str, Any] = {
        "backbone": recipe.model.backbone,
        "width": recipe.model.width,
        "bn_group": batch,
    }
    if recipe.reads_output or any(each.layer == "output" for each in further.values()):
        model |= {"head": recipe.model.head, "dim": recipe.model.dim}
    watched = recipe.watch.knn_task
    said: dict[str, Any] = {
        "name": f"untrained-{recipe.model.backbone}-{recipe.data.name}",
        "seed": recipe.seed,
        "data": plain(recipe.data),
        "augment": {},
        "model": model,
        "contrast": {
            "kind": "moco",
            "queue": batch,
            "momentum": 0.0,
            "temperature": 1.0,
            "shuffle": False,
        },
        "optim": {"epochs": 0, "batch": batch, "lr": 0.0, "schedule": {"kind": "constant"}},
        "precision": recipe.precision,
        "knn": None if recipe.knn is None else plain(recipe.knn),
        "linear": None,
        "tasks": {name: {**plain(each), "trials": 1} for name, each in further.items()},
        "watch": plain(Watch(knn_epochs=0, knn_task=watched, health_epochs=0, control=False)),
    }
    return Recipe.model_validate_json(json.dumps(said))


def _batch(batch: int) -> int:
    """A batch that every number of processes divides that divides the recipe's, the same for nearly
    all recipes."""
    return batch if batch & (batch - 1) else min(batch, BATCH)


def without_training(recipe: Recipe) -> Recipe:
    """The recipe without its training: its stages take as long as those of its control."""
    none = recipe.optim.model_copy(update={"epochs": 0, "steps": None})
    return recipe.model_copy(update={"optim": none})


class Controls:
    """The stages among a plan's that measure the untrained network, for each seed."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._recipes = {m.seed: m.recipe for m in members if m.cell == CONTROL}
        self._specs = {seed: specs(recipe) for seed, recipe in self._recipes.items()}
        self._ids: dict[tuple[int, str], str] = {}

    def of(self, member: Member, asked: StageSpec) -> str:
        """The id of the control's stage with the same data and protocol as the member's stage; ""
        if there is none."""
        recipe = self._recipes.get(member.seed)
        theirs = self._specs.get(member.seed, {}).get(asked.name)
        if member.cell == CONTROL or recipe is None or theirs is None or not asked.task.reported:
            return ""
        if theirs.data(recipe) != asked.data(member.recipe):
            return ""
        ours, other = asked.section(member.recipe), theirs.section(recipe)
        if _without_trials(ours) != _without_trials(other):
            return ""
        key = member.seed, asked.name
        if key not in self._ids:
            self._ids[key] = stage_id(recipe, asked.name)
        return self._ids[key]


def _without_trials(section: Any) -> Any:
    """A task's section with one trial, as the control has it."""
    if not isinstance(section, TaskSection):
        return section
    return section.model_copy(update={"trials": 1})
