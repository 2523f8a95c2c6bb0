"""Data of a run and of its tasks: what needs labels is refused where there are none."""

from __future__ import annotations

import pytest

from harness.errors import RecipeError
from harness.recipe.identity import described, specs, stage_id
from harness.recipe.load import load_recipe

from .conftest import BASE, Write

PICTURES = BASE.replace("{name: embedded, size: 32}", "{name: pictures, folder: photos, size: 32}")
WATCHED = """\
tasks:
  watched: {kind: knn, k: [20], data: {name: cifar10, size: 32}}
"""


def wrong(write: Write, text: str) -> list[str]:
    """The fields that are refused."""
    with pytest.raises(RecipeError) as error:
        load_recipe(write("x.yaml", text))
    return [line.split(": ")[1] for line in str(error.value).splitlines()]


def test_pictures_are_pre_trained_alone(write: Write) -> None:
    found = load_recipe(write("x.yaml", PICTURES))
    assert list(specs(found)) == ["pretrain"]
    assert (found.knn, found.linear, found.monitor) == (None, None, None)


@pytest.mark.parametrize(
    ("added", "fields"),
    [
        ("knn: {k: [20]}\n", ["knn"]),
        ("linear: {}\n", ["linear"]),
        ("tasks: {own: {kind: knn, k: [20]}}\n", ["tasks.own.data"]),
        (
            "tasks: {own: {kind: linear, data: {name: pictures, folder: a, size: 8}}}\n",
            ["tasks.own.data"],
        ),
        ("watch: {knn_task: none}\n", ["watch.knn_task"]),
        (WATCHED + "  probe: {kind: linear, data: {name: cifar10, size: 32}}\n"
         "watch: {knn_task: probe}\n", ["watch.knn_task"]),
    ],
)  # fmt: skip
def test_what_needs_labels_is_refused(write: Write, added: str, fields: list[str]) -> None:
    assert wrong(write, PICTURES + added) == fields


def test_a_method_that_learns_from_labels_is_refused(write: Write) -> None:
    start = PICTURES.index("contrast:")
    end = PICTURES.index("optim:")
    text = PICTURES[:start] + "contrast: {kind: supervised}\n" + PICTURES[end:]
    assert wrong(write, text) == ["contrast.kind"]


def test_the_runs_own_knn_is_not_replaced(write: Write) -> None:
    watch = WATCHED + "watch: {knn_task: watched}\n"
    assert wrong(write, BASE + watch) == ["watch.knn_task"]
    assert load_recipe(write("x.yaml", BASE + watch + "knn: null\n")).knn is None


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ("{name: pictures, size: 32}", ["data.folder"]),
        ("{name: pictures, folder: ../a, size: 32}", ["data.folder"]),
        ("{name: pictures, folder: a, split: 0.1, size: 32}", ["data.split"]),
        ("{name: cifar10, split: 0.1, size: 32}", ["data.split"]),
        ("{name: imagefolder, folder: a, split: 1.0, size: 32}", ["data.split"]),
    ],
)
def test_a_wrong_folder_or_split_is_refused(write: Write, data: str, fields: list[str]) -> None:
    text = BASE.replace("{name: embedded, size: 32}", data)
    assert wrong(write, text) == fields
    task = f"tasks: {{own: {{kind: linear, data: {data}}}}}\n"
    if "pictures" not in data:
        assert wrong(write, BASE + task) == [f"tasks.own.{field}" for field in fields]


def test_what_is_watched_changes_no_id(write: Write) -> None:
    plain = load_recipe(write("x.yaml", PICTURES))
    watched = load_recipe(write("x.yaml", PICTURES + WATCHED + "watch: {knn_task: watched}\n"))
    assert stage_id(plain, "pretrain") == stage_id(watched, "pretrain")
    said = described(watched, "pretrain")["tasks"]["watched"]
    assert said["k"] == [20]
    assert "trials" not in said
    assert "tasks" not in described(plain, "pretrain")


def test_a_split_is_another_run(write: Write) -> None:
    folder = "{name: imagefolder, folder: a, size: 32}"
    one = load_recipe(write("x.yaml", BASE.replace("{name: embedded, size: 32}", folder)))
    split = folder.replace("size", "split: 0.1, size")
    other = load_recipe(write("x.yaml", BASE.replace("{name: embedded, size: 32}", split)))
    assert stage_id(one, "pretrain") != stage_id(other, "pretrain")


def test_a_task_on_frozen_features_does_not_build_on_a_trained_one(write: Write) -> None:
    tasks = """\
tasks:
  all: {kind: finetune, epochs: 2, batch: 16, lr: 0.1, schedule: {kind: constant}}
  probe: {kind: linear, parent: all, epochs: 10, drops: []}
"""
    assert wrong(write, BASE + tasks) == ["tasks.probe.parent"]
