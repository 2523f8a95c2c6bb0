"""Settings of the tasks with draws, and of linear SVMs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.embedded import CLASSES as FIGURES
from harness.errors import RecipeError
from harness.recipe.load import load_recipe
from harness.recipe.svm import SCENE_CLASSES, SvmLowShotTask, SvmTask

TEXT = """\
name: tiny
data: {{name: embedded, images: 80, size: 24}}
augment: {{}}
model: {{backbone: miniature, dim: 16, bn_group: 8}}
contrast: {{kind: moco, queue: 48, momentum: 0.9, temperature: 0.2}}
optim: {{epochs: 1, batch: 16, lr: 0.05, schedule: {{kind: cosine}}}}
knn: {{k: [5]}}
tasks: {{few: {{{}}}}}
"""


def write(folder: Path, task: str) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(TEXT.format(task))
    return path


@pytest.mark.parametrize(
    ("task", "field"),
    [
        ("kind: few_shot, shots: []", "shots"),
        ("kind: few_shot, shots: [0]", "shots"),
        ("kind: few_shot, shots: [5, 5]", "shots"),
        ("kind: few_shot, draws: 1", "draws"),
        ("kind: few_shot, c: [1.0, 1.0]", "c"),
        ("kind: few_shot, shots: [5, 1], c: [0.1, 1.0]", "c"),
        ("kind: few_shot, folds: 1", "folds"),
        ("kind: few_shot, trials: 2", "trials"),
        ("kind: svm_low_shot, c: [0.1, 1.0]", "c"),
        ("kind: svm_low_shot, trials: 2", "trials"),
        ("kind: svm, c: [0.1, 0.1]", "c"),
        ("kind: svm, folds: 1", "folds"),
        ("kind: svm, data: {name: cifar10, size: 32}", "data"),
        ("kind: svm_low_shot, data: {name: cifar10, size: 32}", "data"),
        ("kind: svm, images: {images: 10}", "images.images"),
        ("kind: svm, images: {tested: 10}", "images.tested"),
        ("kind: svm, images: {name: scenes, size: 16}", "images.size"),
        ("kind: svm, images: {name: scenes, view: crop}", "images.view"),
        ("kind: svm, images: {name: coco}", "images.name"),
        ("kind: few_shot, shots: [1, 9]", "shots"),
        ("kind: svm_low_shot, images: {name: scenes}", "shots"),
        ("kind: svm_low_shot, images: {name: scenes, images: 89}, shots: [9]", "shots"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, task: str, field: str) -> None:
    with pytest.raises(RecipeError, match=rf"tasks\.few\.{field}\b"):
        load_recipe(write(tmp_path, task), [])


@pytest.mark.parametrize(
    "task",
    [
        *("kind: few_shot", "kind: svm", "kind: svm_low_shot"),
        "kind: few_shot, shots: [5], c: [0.1, 1.0]",
        "kind: few_shot, shots: [1, 8]",
        "kind: svm_low_shot, images: {name: scenes}, shots: [40]",
        "kind: svm_low_shot, images: {name: scenes, images: 90}, shots: [9]",
        "kind: svm, images: {name: scenes, images: 50, tested: 20, size: 24}",
    ],
)
def test_all_fields_have_usual_values(tmp_path: Path, task: str) -> None:
    assert "few" in load_recipe(write(tmp_path, task), []).tasks


def test_scenes_have_the_classes_that_the_recipe_counts() -> None:
    assert len(FIGURES) == SCENE_CLASSES


def test_the_usual_values_are_the_published_protocols() -> None:
    svm = SvmTask.model_validate({"kind": "svm"})
    assert len(svm.c) == 19
    assert (min(svm.c), max(svm.c)) == (2**-19, 100)
    assert (svm.folds, svm.positive_weight, svm.iterations, svm.tolerance) == (3, 2, 2000, 1e-4)
    low = SvmLowShotTask.model_validate({"kind": "svm_low_shot"})
    assert (low.shots, low.draws) == ((1, 2, 4, 8, 16, 32, 64, 96), 5)
