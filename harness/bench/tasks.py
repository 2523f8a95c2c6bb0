"""Time the evaluations of one network on the whole data, of which they share the features.

    moco-harness bench RECIPE --tasks

kNN, ten linear probes on centre crops and logistic regression at five values of C, as stages of a
run root that is thrown away. The network is as random as it is at the start, and reads the recipe's
data at the recipe's size.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from harness.bench.clock import Timing
from harness.bench.result import EXTRACTION
from harness.data.datasets import DataSet, open_data
from harness.data_roots import AnyRoot
from harness.evaluate.features import extract
from harness.model.encoder import build
from harness.recipe.evaluation import Knn, Linear, LogisticTask
from harness.recipe.identity import described, further, spec, stage_id
from harness.recipe.schema import Recipe
from harness.runtime import checkpoint
from harness.runtime.process_setup import set_up_process
from harness.runtime.world import World
from harness.stage import frozen
from harness.stage.context import Context
from harness.stage.execute import Job, execute
from harness.stage.features import Shared
from harness.stage.reporter import Silent
from harness.store import atomic
from harness.store.layout import StageFolder, stage_folder
from harness.store.version import STAGE

RATES = (30.0, 20.0, 15.0, 10.0, 7.0, 5.0, 3.0, 2.0, 1.0, 0.5)
GRID = "grid"
"""The name of the logistic regression under `tasks:`."""
STAGES = ("knn", "linear", GRID)


def evaluations(
    of: Recipe, data_root: AnyRoot, device: torch.device, runs: Path
) -> dict[str, Timing]:
    """Seconds of "extraction" of all features, and of each stage that then reads them.

    Args:
        runs: an empty folder for the stages.

    Raises:
        DataError: the data is missing.
    """
    recipe = evaluated(of)
    set_up_process(device)
    world = World.alone(device)
    data = open_data(recipe.data, data_root).on(device)
    untrained(recipe, data, runs)
    folders = {name: made_folder(recipe, name, runs) for name in STAGES}
    found: dict[str, Timing] = {}

    def timed(name: str, act: Callable[[], object]) -> None:
        began = time.perf_counter()
        act()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took = time.perf_counter() - began
        found[name] = Timing(took, took, took, 1)

    def extracting(*given: Any, **more: Any) -> torch.Tensor:
        features: list[torch.Tensor] = []
        part = f"{EXTRACTION} {len(found)}"
        timed(part, lambda: features.append(extract(*given, **more)))
        return features[0]

    context = Context(
        recipe=recipe,
        folder=folders["knn"],
        attempt=None,
        parent=folders["knn"].parent,
        data=data,
        data_root=data_root,
        world=world,
        reporter=Silent(),
        stopping=lambda: False,
        asked=spec(recipe, "knn"),
    )
    encoder = frozen.encoder(context, "backbone")
    began = time.perf_counter()
    for images in (data.test, data.bank):
        Shared(context, extracting)(
            encoder,
            data,
            images,
            size=recipe.data.size,
            layer="backbone",
            precision=recipe.precision,
            world=world,
        )
    kept = time.perf_counter() - began
    passes = sum(each.median for each in found.values())
    found = {EXTRACTION: Timing(passes, passes, passes, 1)}
    found["keeping features"] = Timing(kept - passes, kept - passes, kept - passes, 1)
    for name, folder in folders.items():
        job = Job(folder.path, data_root, str(device))
        timed(spec(recipe, name).task.kind, lambda job=job: execute(job, Silent(), lambda: False))  # type: ignore[misc]
    return found


def evaluated(of: Recipe) -> Recipe:
    """The recipe of an untrained network with the evaluations that are timed."""
    said = of.model_dump(mode="json")
    model = said["model"] | {"weights": None}
    asked = of.knn or Knn()
    knn = Knn(k=asked.k, temperature=asked.temperature).model_dump(mode="json")
    linear = Linear(lr=RATES, views="center").model_dump(mode="json")
    logistic = LogisticTask(kind="logistic").model_dump(mode="json")
    changes = {"model": model, "knn": knn, "linear": linear, "tasks": {GRID: logistic}}
    changes |= {"optim": said["optim"] | {"epochs": 0}, "continue_from": None}
    changes |= {"watch": said["watch"] | {"knn_task": None}}
    return Recipe.model_validate_json(json.dumps(said | changes))


def made_folder(recipe: Recipe, name: str, runs: Path) -> StageFolder:
    """The stage's folder, made."""
    folder = stage_folder(runs, stage_id(recipe, name))
    asked = spec(recipe, name)
    folder.create(
        {
            "schema": STAGE,
            "id": folder.id,
            "kind": asked.task.kind,
            "name": recipe.name,
            "seed": recipe.seed,
            "parent": stage_id(recipe, asked.parent) if asked.parent else None,
            "recipe": described(recipe, name),
        }
        | further(asked)
    )
    return folder


def untrained(recipe: Recipe, data: DataSet, runs: Path) -> None:
    """Write a finished pre-training of no steps, without its monitor, which would take as long as
    the extraction that is timed."""
    folder = made_folder(recipe, "pretrain", runs)
    query = build(recipe.model, recipe.seed).state_dict()
    state = {
        "stage": folder.id,
        "step": 0,
        "data": data.fingerprint,
        "mechanism": {f"query.{name}": tensor for name, tensor in query.items()},
    }
    path = checkpoint.save(folder.checkpoints, 0, state, keep=1)
    weights = path.stem.rpartition("-")[2]
    result = {"state": "finished", "step": 0, "values": {}, "message": "", "weights": weights}
    atomic.write_json(folder.path / "result.json", result)
