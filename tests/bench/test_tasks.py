"""A whole evaluation, of which the tasks share the features; and what is made of its times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from harness.bench import tasks
from harness.bench.clock import Timing
from harness.bench.published import publish
from harness.bench.result import EXTRACTION, Result, task_rows, tasks_measured
from harness.bench.targets import targets
from harness.evaluate import features as module
from harness.recipe.evaluation import Linear
from harness.recipe.find import find
from harness.recipe.load import load_recipe
from harness.store import features

from .made import recipe, result, timing

CPU = torch.device("cpu")


def test_every_task_runs_on_features_that_are_extracted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = Linear(lr=tasks.RATES, epochs=2, drops=(), views="center")
    monkeypatch.setattr(tasks, "Linear", lambda **_: brief)
    encoded, real = [0], module.encode

    def counting(*words: object) -> torch.Tensor:
        encoded[0] += len(words[1])  # type: ignore[arg-type]
        return real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "encode", counting)
    data = {"name": "embedded", "images": 64, "size": 16}
    of = recipe(batch=32, group=8, backbone="miniature", data=data, knn={"k": [5]})
    found = tasks.evaluations(of, tmp_path / "nowhere", CPU, tmp_path)
    assert list(found) == [EXTRACTION, "keeping features", "knn", "linear", "logistic"]
    assert all(isinstance(each, Timing) and each.median > 0 for each in found.values())
    assert encoded[0] == 2064
    assert len(features.files(tmp_path)) == 2
    results = [json.loads(path.read_text()) for path in tmp_path.glob("*/result.json")]
    assert [each["state"] for each in results] == ["finished"] * 4
    reported = {name for each in results for name in each["values"]}
    assert {"knn/top1", "linear/top1@lr0.5", "logistic/top1"} <= reported


def evaluated(seconds: float) -> Result:
    made = result(recipe())
    made.tasks = {EXTRACTION: timing(10), "knn": timing(1), "logistic": timing(seconds)}
    return made


def test_the_extraction_is_part_of_the_whole() -> None:
    assert evaluated(3.0).tasks_ratio() == pytest.approx(1.4)
    *_, (name, seconds, ratio) = task_rows(evaluated(3.0))
    assert (name, seconds, ratio) == ("all of it", "14.0", "1.400")
    assert task_rows(result(recipe())) == []


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        ("resnet18_cifar", "all of embedded, resnet18_cifar (CIFAR stem)"),
        ("resnet18", "all of embedded, resnet18 (ImageNet stem)"),
        ("miniature", "all of embedded, miniature"),
    ],
)
def test_the_network_is_named_with_its_stem(tmp_path: Path, backbone: str, said: str) -> None:
    made = result(recipe(backbone=backbone))
    assert tasks_measured(made) == said
    assert said not in publish(tmp_path, made.record()).read_text()
    made.tasks = evaluated(3.0).tasks
    assert f"| {said} | s | of the extraction |" in publish(tmp_path, made.record()).read_text()


def test_the_cifar_recipe_has_a_stem_for_small_images() -> None:
    of = load_recipe(find("cifar10_demo"), [])
    assert tasks.evaluated(of).model.backbone == "resnet18_cifar"
    assert tasks.evaluated(of).data == of.data


@pytest.mark.parametrize(("seconds", "met"), [(4.0, "met"), (4.1, "missed")])
def test_the_target_of_a_whole_evaluation(seconds: float, met: str) -> None:
    found = {row[0]: row[1:] for row in targets(recipe(), evaluated(seconds))}
    (line,) = (row for name, row in found.items() if "logistic" in name)
    assert line[0] == "<= 1.50"
    assert line[2] == met
    assert not any("logistic" in row[0] for row in targets(recipe(), result(recipe())))


def test_it_is_kept_and_older_records_have_none(tmp_path: Path) -> None:
    record = json.loads(json.dumps(evaluated(3.0).record()))
    assert Result.of(record) == evaluated(3.0)
    older = {key: value for key, value in record.items() if key != "tasks"}
    assert Result.of(older).tasks == {}
    page = publish(tmp_path, record).read_text()
    assert "| all of it | 14.0 | 1.400 |" in page
