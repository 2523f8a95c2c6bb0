"""The control of a single recipe: what it shares, and what it has none for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.recipe.expand import Member
from harness.recipe.identity import specs, stage_id, stages
from harness.recipe.schema import Recipe
from harness.recipe.untrained import Controls, untrained

BASE: dict[str, Any] = {
    "name": "base",
    "data": {"name": "cifar10", "size": 32},
    "augment": {},
    "model": {"backbone": "miniature", "bn_group": 32},
    "contrast": {"kind": "moco", "queue": 4096, "momentum": 0.99, "temperature": 0.1},
    "optim": {"epochs": 10, "batch": 512, "lr": 0.06, "schedule": {"kind": "cosine"}},
}
FLOWERS = {"name": "imagefolder", "folder": "flowers", "size": 32}
GIVEN = {"run": "other-s0.pretrain-1a2b3c4d5e"}


def recipe(**changes: Any) -> Recipe:
    """BASE with other sections; a dict changes fields of a section."""
    said = json.loads(json.dumps(BASE))
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(said.get(name), dict)
        said[name] = {**said[name], **value} if both else value
    return Recipe.model_validate_json(json.dumps(said))


def ids(made: Recipe) -> list[str]:
    control = untrained(made)
    assert control is not None
    return [stage_id(control, name) for name in stages(control)]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other", "about": {"title": "another"}, "watch": {"knn_epochs": 5}},
        {"augment": {"blur_p": 0.5}, "linear": None},
        {"contrast": {"queue": 1024, "momentum": 0.5, "symmetric": True}},
        {"optim": {"epochs": 200, "batch": 256, "lr": 0.03}},
        {"model": {"head": "mlp", "dim": 64, "bn_group": 16, "running_stats": "mean"}},
        {"optim": {"epochs": 0}, "model": {"weights": GIVEN}},
    ],
    ids=["words", "views", "method", "optim", "head", "given weights"],
)
def test_recipes_with_the_same_network_and_data_share_it(changes: dict[str, Any]) -> None:
    assert ids(recipe(**changes)) == ids(recipe())


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"data": {"images": 10_000}},
        {"model": {"width": 2}},
        {"precision": "bf16"},
        {"knn": {"k": [20]}},
    ],
    ids=["seed", "data", "network", "precision", "protocol"],
)
def test_what_decides_its_number_gives_another(changes: dict[str, Any]) -> None:
    assert ids(recipe(**changes))[-1] != ids(recipe())[-1]


def test_the_head_counts_where_knn_reads_its_output() -> None:
    read = {"knn": {"layer": "output"}}
    assert ids(recipe(**read)) != ids(recipe(**read, model={"dim": 64}))


def test_it_trains_nothing_and_measures_only_knn() -> None:
    further = {
        "flowers": {"kind": "knn", "k": [5], "data": FLOWERS, "trials": 3},
        "probe": {"kind": "linear", "data": FLOWERS},
    }
    found = untrained(recipe(tasks=further, model={"weights": GIVEN}))
    assert found is not None
    assert stages(found) == ["pretrain", "knn", "flowers"]
    assert (found.optim.epochs, found.model.weights, found.seed) == (0, None, 0)


def test_where_another_set_is_watched_it_is_measured_there() -> None:
    made = recipe(
        data={"name": "pictures", "folder": "photos"},
        knn=None,
        linear=None,
        tasks={"watched": {"kind": "knn", "data": FLOWERS}},
        watch={"knn_task": "watched"},
    )
    found = untrained(made)
    assert found is not None
    assert stages(found) == ["pretrain", "watched"]


@pytest.mark.parametrize(
    "changes",
    [
        {"watch": {"control": False}},
        {"optim": {"epochs": 0}},
        {"knn": None},
    ],
    ids=["left out", "untrained itself", "no kNN"],
)
def test_recipes_without_one(changes: dict[str, Any]) -> None:
    assert untrained(recipe(**changes)) is None


@pytest.mark.parametrize("batch", [8, 48, 96, 256, 4096])
def test_every_number_of_processes_of_the_recipe_can_share_its_batch(batch: int) -> None:
    found = untrained(recipe(optim={"batch": batch}, model={"bn_group": 1}))
    assert found is not None
    sizes = [n for n in range(1, min(batch, 256) + 1) if batch % n == 0]
    assert not [n for n in sizes if found.optim.batch % n]
    assert found.optim.batch <= batch


def test_a_stage_is_compared_with_one_of_its_seed_data_and_protocol_only() -> None:
    made = recipe()
    control = untrained(made)
    assert control is not None
    beside = Controls([Member("", 0, made), Member("untrained", 0, control)])
    found = {name: beside.of(Member("", 0, made), each) for name, each in specs(made).items()}
    assert found == {"pretrain": "", "knn": stage_id(control, "knn"), "linear": ""}
    knn = specs(made)["knn"]
    assert not beside.of(Member("", 1, recipe(seed=1)), knn)
    assert not beside.of(Member("", 0, recipe(knn={"k": [20]})), knn)
    assert not beside.of(Member("", 0, recipe(data={"images": 10_000})), knn)
    assert not beside.of(Member("untrained", 0, control), knn)
