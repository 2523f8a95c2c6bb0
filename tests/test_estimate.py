from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness import estimate
from harness.estimate import history, seconds
from harness.plan import describe, make_plan
from harness.recipe.schema import Recipe
from harness.store import atomic
from harness.store.layout import stage_folder

TEXT = """\
data: {name: embedded, images: 128, size: 16}
augment: {}
model: {backbone: miniature, bn_group: 8}
contrast: {kind: moco, queue: 64, momentum: 0.9, temperature: 0.1}
optim: {epochs: 2, batch: 32, lr: 0.06, schedule: {kind: constant}}
knn: {k: [5]}
linear: {epochs: 3, drops: []}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def measured(recipe: Path, runs: Path, *sets: str, **facts: Any) -> None:
    """Finish all stages of the recipe, with these facts in the results."""
    for stage in make_plan(recipe, sets, runs).stages:
        folder = stage_folder(runs, stage.id)
        folder.create(describe(stage, "tiny"))
        result = {"state": "finished", "step": 8, "values": {}, **facts}
        atomic.write_json(folder.path / "result.json", result)


def planned(recipe: Path, runs: Path, *sets: str) -> list[float | None]:
    return [stage.seconds for stage in make_plan(recipe, sets, runs).stages]


def test_nothing_is_known_of_an_empty_root(recipe: Path, runs: Path) -> None:
    assert history(runs) == {}
    assert planned(recipe, runs) == [None] * 3
    assert make_plan(recipe, [], runs).seconds is None


def test_what_was_measured_is_foreseen(recipe: Path, runs: Path) -> None:
    measured(recipe, runs, images_per_s=64.0, seconds=7.5)
    assert planned(recipe, runs) == [0, 0, 0], "finished"
    assert planned(recipe, runs, "seed=1") == [2 * 128 / 64, 7.5, 7.5]
    assert planned(recipe, runs, "seed=1", "optim.epochs=20") == [20 * 128 / 64, 7.5, 7.5]
    made = make_plan(recipe, ["seed=1"], runs)
    assert made.seconds == 4 + 7.5 + 7.5
    assert made.hours == pytest.approx(19 / 3600)


@pytest.mark.parametrize("alike", ["contrast.momentum=0.5", "contrast.temperature=1", "optim.lr=1"])
def test_what_costs_no_time_is_alike(recipe: Path, runs: Path, alike: str) -> None:
    measured(recipe, runs, images_per_s=64.0, seconds=7.5)
    assert planned(recipe, runs, alike) == [4, 7.5, 7.5]


@pytest.mark.parametrize("other", ["data.size=32", "precision=bf16", "model.width=2"])
def test_what_costs_time_is_not(recipe: Path, runs: Path, other: str) -> None:
    measured(recipe, runs, images_per_s=64.0, seconds=7.5)
    assert planned(recipe, runs, other) == [None] * 3


def test_the_median_of_several(recipe: Path, runs: Path) -> None:
    for seed, speed in enumerate((10.0, 64.0, 1000.0)):
        measured(recipe, runs, f"seed={seed}", images_per_s=speed, seconds=1)
    assert planned(recipe, runs, "seed=9")[0] == 4


def test_an_untrained_control_takes_no_training(recipe: Path, runs: Path) -> None:
    assert planned(recipe, runs, "optim.epochs=0")[0] == 0.0


@pytest.mark.parametrize("speed", [0, -1, None, "fast", float("nan")])
def test_what_is_no_speed_teaches_nothing(recipe: Path, runs: Path, speed: Any) -> None:
    measured(recipe, runs, images_per_s=1.0, seconds=1.0)
    for path in runs.glob("*/result.json"):
        values = {"state": "finished", "images_per_s": speed, "seconds": speed}
        path.write_text(json.dumps(values))
    assert history(runs) == {}


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"kind": "pretrain"}', '{"kind": "knn", "recipe": null}',
             '{"kind": ["x"], "recipe": {"data": 3}}']
)  # fmt: skip
def test_a_damaged_or_foreign_folder_teaches_nothing(recipe: Path, runs: Path, text: str) -> None:
    measured(recipe, runs, images_per_s=1.0, seconds=1.0)
    for path in runs.glob("*/stage.json"):
        path.write_text(text)
    (runs / "a-link-to-nothing").symlink_to(runs / "none")
    assert history(runs) == {}


def test_of_many_folders_the_newest_are_read(
    recipe: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "NEWEST", 3)
    measured(recipe, runs, images_per_s=1.0, seconds=1.0)
    for path in runs.iterdir():
        os.utime(path, (0, 0))
    measured(recipe, runs, "seed=1", images_per_s=64.0, seconds=7.5)
    assert planned(recipe, runs, "seed=2") == [4, 7.5, 7.5]


def test_images_of_a_data_set_of_known_size(recipe: Path) -> None:
    made = make_plan(recipe, ["data.images=null"], Path("/nonexistent"))
    found: Recipe = made.stages[0].recipe
    alike = estimate._alike(found.model_dump(mode="json"), "pretrain")
    assert seconds(found, "pretrain", {alike: 100.0}) == 2 * 20_000 / 100


def test_stated_hours_are_the_pre_trainings(recipe: Path, runs: Path) -> None:
    cost = "about.cost={hours: 53, on: 8 V100, gpus: 8, source: v1}"
    made = make_plan(recipe, [cost], runs)
    assert (made.seconds, made.stated_hours, made.hours) == (None, 53, 53)
    assert make_plan(recipe, [cost, "optim.epochs=0"], runs).hours is None
