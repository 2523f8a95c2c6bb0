"""Records and their page; targets that are met and missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.bench.published import publish
from harness.bench.result import Result
from harness.bench.targets import targets
from harness.errors import RecipeError, StoreError

from .made import recipe, result, timing

RECIPE = recipe()


def record(device: str = "NVIDIA H200", **other: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(result(RECIPE, device, **other).record()))
    return made | {"set": ["optim.batch=256"]}


def test_a_record_is_the_result() -> None:
    assert Result.of(record()) == result(RECIPE)


def test_nothing_of_the_machine_is_published(tmp_path: Path) -> None:
    why = "tasks.coco: not measured: /home/me/data/coco/train.json: not there"
    publish(tmp_path, record() | {"left_out": [why], "machine": {"host": "node7", "cpu": "A CPU"}})
    (path,) = tmp_path.glob("*.json")
    for own in ("/home/me", "node7"):
        assert own not in path.read_text()
    assert "train.json: not there" in path.read_text()


def test_devices_stand_side_by_side_and_are_renewed(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "bench"
    publish(folder, record())
    publish(folder, record("cpu", edition="old"))
    page = publish(folder, record("cpu"))
    assert sorted(path.name for path in folder.glob("*.json")) == [
        "made-cpu.json",
        "made-nvidia-h200.json",
    ]
    text = page.read_text()
    assert "## made on NVIDIA H200" in text
    assert "## made on A CPU" in text
    assert "edition old" not in text
    assert "`optim.batch=256`" in text
    assert "commit cccccccccccc." in text
    assert "| floor | 20.00 | 12,800 | 1.00 |" in text
    assert "beyond 8 GPUs" in text


def test_what_is_no_record_is_left_alone_and_named(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(StoreError, match=r"mine.json: "):
        publish(tmp_path, record())
    assert (tmp_path / "mine.json").read_text() == "{}"


@pytest.mark.parametrize("name", ["README.md", "made-nvidia-h200.json"])
def test_what_somebody_else_wrote_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"recipe": "mine"}')
    with pytest.raises(RecipeError, match=name):
        publish(tmp_path, record())
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [
        (name, '{"recipe": "mine"}')
    ]


def test_records_of_before_there_were_tasks_stay_on_the_page(tmp_path: Path) -> None:
    older = record("cpu")
    del older["facts"]["recipe"]["tasks"], older["training"]
    assert "## made on A CPU" in publish(tmp_path, older).read_text()


def test_a_record_whose_recipe_is_of_another_version_is_named(tmp_path: Path) -> None:
    other = record("cpu")
    other["facts"]["recipe"]["no_such_section"] = 1
    (tmp_path / "made-other.json").write_text(json.dumps(other))
    with pytest.raises(StoreError, match=r"made-other.json: "):
        publish(tmp_path, record())


def outcomes(of: Result, backbone: str = "resnet50", **other: Any) -> dict[str, str]:
    return {row[0]: row[3] for row in targets(recipe(backbone=backbone, **other), of)}


def test_targets_on_a_gpu() -> None:
    found = outcomes(result(RECIPE))
    assert found == {
        "end to end, relative to the floor": "missed",
        "images/s": "met",
        "memory in GB": "met",
        "augmentation, share of the step": "met",
        "input alone, relative to the step's rate": "met",
        "kNN, relative to its similarity product": "met",
        "checkpoints, share of the steps' time": "missed",
    }
    made = result(RECIPE)
    made.whole["end to end"] = timing(21e-3)
    assert outcomes(made)["end to end, relative to the floor"] == "met"


def test_targets_on_a_cpu() -> None:
    made = result(RECIPE, "cpu")
    made.whole["end to end"] = timing(24e-3)
    key = "end to end, relative to the floor"
    assert outcomes(made, "miniature")[key] == "met"
    assert outcomes(made, "resnet18_cifar")[key] == "missed"
    assert (
        outcomes(made, linear={"lr": [1, 10]})["2 probes with features, relative to one"] == "met"
    )


def test_the_demos_time_is_that_of_all_its_epochs() -> None:
    made = result(RECIPE, steps_per_checkpoint=10_000)
    name = "the recipe with its kNN, in minutes"
    optim = {"epochs": 200, "batch": 256, "lr": 0.1, "schedule": {"kind": "constant"}}
    demo = {"optim": optim, "watch": {"knn_epochs": 50}}
    for seconds, met in ((0.01, "met"), (0.04, "missed")):
        made.whole["end to end"] = timing(seconds)
        assert outcomes(made, "resnet18_cifar", **demo)[name] == met
    assert name not in outcomes(made, "resnet18_cifar", optim=optim | {"epochs": 400})
    contrast = RECIPE.contrast.model_dump() | {"symmetric": True}
    assert name not in outcomes(made, "resnet18_cifar", **demo, contrast=contrast)
    unread = result(RECIPE, images=None)
    assert name not in outcomes(unread, "resnet18_cifar", **demo), "no epoch"
