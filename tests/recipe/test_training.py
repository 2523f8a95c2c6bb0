"""Sections of tasks that train are refused with the field that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import RecipeError
from harness.recipe.identity import stage_id
from harness.recipe.load import load_recipe

from .conftest import BASE, Write

GOOD = "kind: finetune, epochs: 3, lr: 0.1, schedule: {kind: constant}"


def task(fields: str) -> str:
    return BASE + f"tasks:\n  ft: {{{fields}}}\n"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("epochs: 3, ", ""), "epochs"),
        (("epochs: 3", "epochs: 3, steps: 9"), "epochs"),
        (("kind: constant", "kind: step, drops: [3]"), "schedule.drops"),
        (("kind: constant", "kind: step, drops: [2, 1]"), "schedule.drops"),
        (("epochs: 3", "steps: 4, warmup: {steps: 5}"), "warmup.steps"),
        (("lr: 0.1", "lr: 0.1, nesterov: true, sgd_momentum: 0.0"), "nesterov"),
        (("lr: 0.1", "lr: 1e-60"), "lr"),
        (("lr: 0.1", "lr: 0"), "lr"),
        (("lr: 0.1", "lr: 0.1, labels: 1.5"), "labels"),
        (("lr: 0.1", "lr: 0.1, labels: 0"), "labels"),
        (("lr: 0.1", "lr: 0.1, labels: 2, labels_file: a, labels_sha256: '12345678'"), "labels"),
        (("lr: 0.1", "lr: 0.1, labels_file: a"), "labels_sha256"),
        (("lr: 0.1", "lr: 0.1, labels_sha256: '12345678'"), "labels_file"),
        (("lr: 0.1", "lr: 0.1, labels_file: ../a, labels_sha256: '12345678'"), "labels_file"),
        (("lr: 0.1", "lr: 0.1, crop_scale: [0.5, 0.2]"), "crop_scale"),
        (("lr: 0.1", "lr: 0.1, precision: fp16"), "precision"),
    ],
)
def test_impossible_settings_are_refused(write: Write, change: tuple[str, str], field: str) -> None:
    load_recipe(write("good.yaml", task(GOOD)))
    with pytest.raises(RecipeError, match=rf"tasks\.ft\.{field}: "):
        load_recipe(write("bad.yaml", task(GOOD.replace(*change))))


def test_one_image_a_class_and_a_share_are_told_apart(write: Write) -> None:
    found: list[Any] = []
    for labels in ("1", "0.01"):
        recipe = load_recipe(write("some.yaml", task(f"{GOOD}, batch: 8, labels: {labels}")))
        found.append(recipe.tasks["ft"].model_dump()["labels"])
    assert found == [1, 0.01]
    assert list(map(type, found)) == [int, float]


def test_trials_share_nothing_but_their_parent(write: Write) -> None:
    recipe = load_recipe(write("some.yaml", task(f"{GOOD}, trials: 2")))
    ids = {stage_id(recipe, name) for name in ("ft", "ft=t1")}
    assert len(ids) == 2
    alone = load_recipe(write("some.yaml", task(GOOD)))
    assert stage_id(alone, "ft") in ids


@pytest.mark.parametrize(
    ("data", "more", "field"),
    [
        ("name: cifar10", "labels: 0.0001", "labels"),
        ("name: cifar10", "labels: 0.0002, batch: 30", "batch"),
        ("name: cifar10", "labels: 0.0002, batch: 20", ""),
        ("name: cifar10", "labels: 5001", "labels"),
        ("name: cifar10", "labels: 5000", ""),
        ("name: cifar10, images: 200", "labels: 21, batch: 8", "labels"),
        ("name: cifar10, images: 200", "labels: 0.04, batch: 8", "labels"),
        ("name: cifar10, images: 200", "batch: 201", "batch"),
        ("name: stl10", "labels: 501", "labels"),
        ("name: stl10", "labels: 0.001, batch: 4", "labels"),
        ("name: flowers102", "labels: 0.04", "labels"),
        ("name: flowers102", "labels: 0.05, batch: 8", ""),
        ("name: imagefolder, folder: a", "labels: 0.0001", ""),
    ],
)
def test_labels_that_are_too_few_are_refused(
    write: Write, data: str, more: str, field: str
) -> None:
    said = task(f"{GOOD}, {more}, data: {{{data}, size: 32}}")
    if not field:
        load_recipe(write("good.yaml", said))
        return
    with pytest.raises(RecipeError, match=rf"tasks\.ft\.{field}: "):
        load_recipe(write("bad.yaml", said))
