"""After a stage has finished: keep what its task shows, beside the result.

It happens once the result is on disk, in the first process alone. Whatever goes wrong here costs
the pictures and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from harness.data.datasets import open_data
from harness.errors import HarnessError
from harness.recipe.identity import StageSpec, of_trial, spec
from harness.recipe.schema import Recipe
from harness.runtime.world import World
from harness.source import with_place
from harness.spec.declarations import load
from harness.stage.context import Context, Interrupted
from harness.stage.execute import Job
from harness.stage.reporter import Reporter, Silent
from harness.store import atomic
from harness.store.layout import StageFolder
from harness.store.look import Look, keep


def keep_look(
    job: Job, device: torch.device, reporter: Reporter, stopping: Callable[[], bool]
) -> None:
    """Keep what the finished stage's task shows, unless `watch.look` is false. Never raises because
    of it; the user gets a note."""
    if why := why_not_kept(job, device, stopping):
        name = StageFolder(job.folder).id
        reporter.note(f"{name}: its result is complete, but no pictures are kept: {why}")


def why_not_kept(job: Job, device: torch.device, stopping: Callable[[], bool]) -> str:
    """As `keep_look`; returns why it failed, "" if it did not or was stopped."""
    folder = StageFolder(job.folder)
    try:
        described, result = folder.described, folder.result
        if described is None or result is None or result["state"] != "finished":
            return ""
        recipe, asked = _recipe(described)
        if not recipe.watch.look or asked.task.look is None:
            return ""
        data = open_data(asked.data(recipe), job.data_root).on(device)
        context = Context(
            recipe, folder, None, folder.parent, data, job.data_root, World.alone(device),
            Silent(), stopping, asked,
        )  # fmt: skip
        found: Look = load(asked.task.look)(context)
        if found.shapes:
            keep(folder.path, found, result)
    except Interrupted:
        return ""
    except Exception as error:
        known = isinstance(error, HarnessError)
        return str(error) if known else f"{type(error).__name__}: {error}"
    return ""


def _recipe(described: dict[str, Any]) -> tuple[Recipe, StageSpec]:
    """The recipe and the stage of a stage.json that has just been run."""
    recipe = Recipe.model_validate_json(atomic.dump(described["recipe"]))
    name = str(described["kind"])
    if (under := described.get("task")) is not None:
        recipe, name = of_trial(recipe, str(under), int(described.get("trial", 0)))
    return with_place(recipe, described), spec(recipe, name)
