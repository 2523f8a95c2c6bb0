"""What validates also runs: odd recipes, drawn from fixed seeds, make a step and are measured."""

from __future__ import annotations

import contextlib
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from harness.data.datasets import DataSet, open_data
from harness.data.loader import Loader
from harness.errors import DataError
from harness.evaluate.features import NotFinite
from harness.model.encoder import build
from harness.model.groups import fit_groups
from harness.recipe.schema import Data, Recipe
from harness.runtime.optimiser import build_optimiser
from harness.runtime.world import World
from harness.stage.knn import check_neighbours, measure
from harness.stage.pretrain import build_mechanism

ALONE = World.alone(torch.device("cpu"))


def drawn(seed: int) -> Recipe:
    """The first that validates of the recipes that `seed` draws."""
    pick = random.Random(seed).choice
    while True:
        with_bank = {"negatives": pick([1, 40]), "exclude_self": pick([True, False])}
        contrast: dict[str, Any] = pick(
            [
                {"kind": "moco", "queue": pick([4, 17, 100]), "symmetric": pick([True, False])}
                | {"momentum": pick([0, 0.999]), "shuffle": pick([True, False])},
                {"kind": "end_to_end", "shuffle": pick([True, False])},
                {"kind": "memory_bank", "loss": pick(["info_nce", "nce"])} | with_bank,
                {"kind": "supervised", "smoothing": pick([0, 0.1])},
            ]
        )
        temperature = {"temperature": pick([0.2, 1.0, 1e30])}
        if contrast["kind"] == "supervised":
            temperature = {}
        found = {
            "name": "drawn",
            "seed": pick([0, 2**63]),
            "data": {"name": "embedded", "images": pick([10, 17]), "size": pick([8, 9, 31, 33])},
            "augment": {
                "crop_scale": pick([[0, 1], [1e-30, 1e-30], [1, 1]]),
                "crop_ratio": pick([[0.75, 1.33], [1e-30, 1e30], [1e30, 1e30]]),
                "jitter": pick([[0.4] * 4, [1e30, 1e30, 1e30, 0.5]]),
                "blur_p": pick([0, 1]),
                "blur_sigma": pick([[0.1, 2], [1e-30, 1e30]]),
            },
            "model": {
                "backbone": pick(["miniature", "resnet18", "resnet18_cifar"]),
                "head": pick(["fc", "mlp"]),
                "dim": 10 if contrast["kind"] == "supervised" else pick([1, 16]),
                "bn_group": pick([1, 2, 8]),
                "running_stats": pick(["first_group", "mean"]),
            },
            "contrast": contrast | temperature,
            "optim": {
                "epochs": pick([0, 1]),
                "batch": pick([2, 8]),
                "lr": 0.01,
                "schedule": pick(
                    [{"kind": "constant"}, {"kind": "decay", "every": 1, "factor": 0.1}]
                ),
            },
            "knn": {
                "k": pick([[1], [5, 8]]),
                "temperature": pick([0.1, 1e-37, 1e38]),
                "layer": pick(["backbone", "output"]),
                "queries": pick([1, 50]),
            },
            "precision": pick(["fp32", "fp32", "bf16"]),
            "linear": None,
        }
        try:
            return Recipe.model_validate_json(json.dumps(found))
        except ValidationError:
            continue


@cache
def images(data: Data) -> DataSet:
    return open_data(data, Path("/nonexistent"))


@pytest.mark.parametrize("seed", range(40))
def test_a_recipe_that_validates_makes_a_step(seed: int) -> None:
    recipe = drawn(seed)
    data = images(recipe.data)
    assert recipe.knn is not None
    check_neighbours(recipe.knn, data)
    loader = Loader(
        data,
        data.train,
        recipe.drawn(),
        stream=(recipe.seed, "pretrain"),
        batch=recipe.optim.batch,
        device=ALONE.device,
    )
    encoder = build(recipe.model, recipe.seed)
    mechanism = build_mechanism(recipe, encoder, labels=data.train.labels, world=ALONE)
    fit_groups(mechanism, batch=recipe.optim.batch, world=ALONE)
    optimiser = build_optimiser(mechanism.merge(), recipe.optim)
    for batch in loader.batches(0, min(1, recipe.optim.epochs)):
        assert all(view.isfinite().all() for view in batch.views)
        loss, _ = mechanism(batch.views, batch.index, 0)
        assert loss.isfinite()
        loss.backward()
        optimiser.step()
        mechanism.after_step()
    with contextlib.suppress(NotFinite):  # a step may blow a network up, which is told
        assert 0 <= measure(mechanism.query, recipe, recipe.knn, data, ALONE)["knn/top1"] <= 100


def test_a_batch_of_more_than_there_is_names_its_field() -> None:
    data = images(Data(name="embedded", images=10, size=8))
    recipe = drawn(0)
    with pytest.raises(DataError, match=r"optim\.batch: 11 "):
        Loader(
            data,
            data.train,
            recipe.drawn(),
            stream=(0,),
            batch=11,
            device=ALONE.device,
        )
