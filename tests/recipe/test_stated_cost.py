"""Which stages a recipe's stated cost is for, and the images that they train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from miniature_recipe import MINIATURE
from report.build import recipe

from harness.plan import make_plan
from harness.recipe.identity import specs
from harness.recipe.schema import Recipe
from harness.recipe.stated_cost import images, share

FINETUNE: dict[str, Any] = {
    **{"kind": "finetune", "epochs": 3, "batch": 16, "lr": 0.1, "trials": 2},
    "schedule": {"kind": "constant"},
}
SEGMENT: dict[str, Any] = {
    **{"kind": "segmentation", "masks": {"name": "scenes"}, "steps": 50, "batch": 4, "lr": 0.1},
    **{"crop": 24, "trials": 3, "schedule": {"kind": "constant"}},
}
GIVEN: dict[str, Any] = {"optim__epochs": 0, "model__weights": {"file": "w.pth", "md5": "0" * 8}}
TASKS: dict[str, Any] = {"tasks": {"fine": FINETUNE, "masks": SEGMENT}}


def shares(made: Recipe, *, pretrains: bool) -> dict[str, float]:
    found = {name: share(made, name, pretrains=pretrains) for name in specs(made)}
    return {name: each for name, each in found.items() if each}


@pytest.mark.parametrize("pretrains", [True, False])
def test_of_given_weights_with_a_probe_it_is_the_probes(pretrains: bool) -> None:
    assert shares(recipe(**GIVEN, **TASKS), pretrains=pretrains) == {"linear": 1}


def test_where_runs_are_pre_trained_it_is_of_that_and_the_control_has_none() -> None:
    assert shares(recipe(**TASKS), pretrains=True) == {"pretrain": 1}
    assert shares(recipe(**TASKS, optim__epochs=0, linear=None), pretrains=True) == {}


@pytest.mark.parametrize("start", [GIVEN, {"optim__epochs": 0}])
def test_else_the_trials_of_all_tasks_that_train_share_it(start: dict[str, Any]) -> None:
    found = shares(recipe(**start, **TASKS, linear=None), pretrains=False)
    assert found == dict.fromkeys(("fine", "fine=t1", "masks", "masks=t1", "masks=t2"), 1 / 5)


def test_a_length_that_was_changed_changes_the_share() -> None:
    written = recipe(**GIVEN, **TASKS, linear=None)
    shorter = {"fine": {**FINETUNE, "epochs": 1, "trials": 1}, "masks": {**SEGMENT, "steps": 5}}
    made = recipe(**GIVEN, linear=None, tasks=shorter)
    found = {name: share(made, name, pretrains=False, written=written) for name in specs(made)}
    assert found["fine"] == pytest.approx(1 / 5 / 3)
    assert found["masks=t2"] == pytest.approx(1 / 5 / 10)
    own = recipe(optim__epochs=3)
    written = recipe(optim__epochs=12)
    assert share(own, "pretrain", pretrains=True, written=written) == 0.25
    elsewhere = recipe(optim__epochs=3, data__images=1000)
    assert share(elsewhere, "pretrain", pretrains=True, written=written) is None


def test_steps_that_end_it_early_are_a_share_too() -> None:
    written = recipe(optim__epochs=10, data__images=1024, optim__batch=32)
    cut = recipe(optim__epochs=10, data__images=1024, optim__batch=32, optim__steps=80)
    assert share(cut, "pretrain", pretrains=True, written=written) == 0.25
    assert images(cut, "pretrain") == 80 * 32
    birds = {"name": "imagefolder", "folder": "birds", "size": 32}
    written = recipe(data=birds)
    cut = recipe(data=birds, optim__steps=80)
    assert share(written, "pretrain", pretrains=True, written=written) == 1
    assert share(cut, "pretrain", pretrains=True, written=written) is None, "of how many?"
    assert images(cut, "pretrain") == 80 * cut.optim.batch


def test_images_are_of_each_stages_own_data_and_length() -> None:
    made = recipe(**TASKS, data__images=1000)
    assert [images(made, name) for name in ("pretrain", "fine=t1", "masks", "knn")] == [
        *(10 * 1000, 3 * 1000, 50 * 4, 0)
    ]
    elsewhere = {**FINETUNE, "data": {"name": "imagefolder", "folder": "birds", "size": 32}}
    assert images(recipe(tasks={"fine": elsewhere}), "fine") is None


CIFAR = {"name": "cifar100", "size": 32}
STL = {"name": "stl10", "size": 96}
BIRDS = {"name": "imagefolder", "folder": "birds", "size": 32}
LIST = {"labels_file": "few.txt", "labels_sha256": "0" * 8}


@pytest.mark.parametrize(
    ("said", "data", "expected"),
    [
        ({"labels": 0.1}, CIFAR, 5_000),
        ({"labels": 4}, CIFAR, 400),
        ({"labels": 0.1}, STL, 500),
        ({}, STL, 5_000),
        ({"labels": 0.1}, BIRDS, None),
        ({"labels": 16}, BIRDS, None),
        (LIST, BIRDS | {"images": 1000}, None),
        ({"labels": 0.1}, BIRDS | {"images": 1000}, 100),
    ],
)
def test_images_of_fine_tuning_are_those_with_a_label(
    said: dict[str, Any], data: dict[str, Any], expected: int | None
) -> None:
    made = recipe(tasks={"fine": {**FINETUNE, **said, "data": data}})
    assert images(made, "fine") == (expected and 3 * expected)


@pytest.mark.parametrize(
    ("said", "sets", "hours"),
    [
        ("", (), 2 + 8),  # the base states an hour for 5 epochs
        ("", ("optim.lr=0.01",), 2 + 8),
        ("", ("optim.epochs=5", "cells=[plain]"), 1),
        ("", ("data.images=64",), None),
        ("hours: {long: 4}\n", (), 2 + 4),
        ("about: {cost: {hours: 3, on: it, source: it}}\n", (), 3 + 3),
        ("about: {cost: {hours: 3, on: it, source: it}}\n", ("cells=[short, long, plain]",), 9),
        ("about: {cost: {hours: 3, on: it, source: it}}\n", ("data.images=64",), None),
        (
            "about: {cost: {hours: 3, on: it, source: it}}\n",
            ("optim.epochs=10", "cells=[short, plain]"),
            3 + 6,
        ),
    ],
)
def test_a_table_costs_what_it_or_its_base_states(
    tmp_path: Path, said: str, sets: tuple[str, ...], hours: float | None
) -> None:
    base = MINIATURE.replace("epochs: 2,", "epochs: 5,")
    assert base != MINIATURE
    (tmp_path / "tiny.yaml").write_text(base + "about: {cost: {hours: 1, on: it, source: it}}\n")
    table = tmp_path / "table.yaml"
    table.write_text(OF_EPOCHS + said)
    found = make_plan(table, sets, tmp_path / "runs").stated_hours
    assert found == (None if hours is None else pytest.approx(hours))


OF_EPOCHS = """\
ablation:
  axis: epochs
  title: it
  cells:
    - {id: short, label: short, set: {optim.epochs: 10}}
    - {id: long, label: long, set: {optim.epochs: 40}}
    - {id: plain, label: plain, set: {}}
recipe: tiny.yaml
cells: [short, long]
seeds: [0]
metric: knn/top1
margin: 1
"""
