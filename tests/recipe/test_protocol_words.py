"""The words beside an accuracy come from what its task declares."""

from __future__ import annotations

from typing import Any

import pytest

from harness.recipe.evaluation import Knn, Linear, Logistic
from harness.recipe.protocol_words import of_stage, protocol_words
from harness.spec.registry import tasks

CIFAR = {"name": "cifar10", "folder": None, "images": None}
STL10 = {"name": "stl10", "folder": None, "images": None}


def recipe(**more: Any) -> dict[str, Any]:
    tasks = {
        "far": {"kind": "knn", **Knn(k=(3,)).model_dump(mode="json"), "data": STL10},
        "near": {"kind": "linear", **Linear(lr=(2.0,)).model_dump(mode="json"), "data": None},
        "fit": {"kind": "logistic", **Logistic(c=(0.5,)).model_dump(mode="json"), "data": STL10},
        "all": {"kind": "finetune", "epochs": 3, "data": None},
    }
    return {
        "data": CIFAR,
        "optim": {"epochs": 1},
        "model": {"weights": None},
        "knn": Knn(k=(20,)).model_dump(mode="json"),
        "linear": None,
        "tasks": tasks,
        **more,
    }


@pytest.mark.parametrize(
    ("task", "kind", "said"),
    [
        (None, "knn", "k 20, T 0.1, backbone, bank cifar10 (pre-trained on)"),
        (None, "linear", ""),
        (
            "far",
            "knn",
            "k 3, T 0.1, backbone, bank stl10 (not pre-trained on: that was on cifar10)",
        ),
        ("near", "linear", "100 epochs, batch 256, lr 2, random crops of cifar10"),
        ("fit", "logistic", "C 0.5, backbone, not normalised, centre crops of stl10, "),
        ("all", "finetune", ""),
    ],
)
def test_a_stage_of_records(task: str | None, kind: str, said: str) -> None:
    words = of_stage({"recipe": recipe(), **({"task": task} if task else {})}, {}, kind)
    assert words.startswith(said)
    assert bool(words) == bool(said)


def test_words_can_be_joined_by_semicolons() -> None:
    for kind, declared in tasks().items():
        section = {"knn": Knn, "linear": Linear, "logistic": Logistic}.get(kind)
        if section is not None:
            words = protocol_words(declared, section().model_dump(mode="json"), CIFAR, [None])
            assert words
            assert ";" not in words
