"""What stands beside a kNN accuracy."""

from __future__ import annotations

from typing import Any

import pytest

from harness.recipe.knn_words import knn_words, trained_on

KNN = {"k": [20, 1], "temperature": 0.1, "layer": "output", "queries": None}


def data(name: str, images: int | None = None, folder: str | None = None) -> dict[str, Any]:
    return {"name": name, "folder": folder, "images": images}


def recipe(epochs: int, **more: Any) -> dict[str, Any]:
    weights = more.pop("weights", None)
    return {
        "data": data("cifar10"),
        "optim": {"epochs": epochs},
        "model": {"weights": weights},
    } | more


@pytest.mark.parametrize(
    ("bank", "trained", "said"),
    [
        (data("cifar10"), [data("cifar10")], "(pre-trained on)"),
        (data("cifar10", 100), [data("cifar10", 100)], "(pre-trained on)"),
        (data("cifar10", 100), [data("cifar10")], "(pre-trained on)"),
        (data("cifar10"), [data("cifar10", 100)], "(in part pre-trained on)"),
        (data("cifar10"), [data("stl10")], "(not pre-trained on: that was on stl10)"),
        (data("cifar10"), [data("stl10"), None], "(not known whether pre-trained on)"),
        (data("cifar10"), [None, data("cifar10")], "(pre-trained on)"),
        (data("cifar10"), [None], "(not known whether pre-trained on)"),
        (data("cifar10"), [], "(nothing was pre-trained)"),
        (
            data("imagefolder", folder="a"),
            [data("imagefolder", folder="b")],
            "(not pre-trained on: that was on b)",
        ),
    ],
)
def test_whether_the_bank_was_pre_trained_on(bank: Any, trained: Any, said: str) -> None:
    assert knn_words(KNN, bank, trained).endswith(said)


def test_the_protocol_and_the_bank() -> None:
    words = knn_words(KNN, data("imagefolder", 70, "photos"), [])
    assert words.startswith("k 20, T 0.1, output, bank photos of 70 images (")


@pytest.mark.parametrize(
    ("made", "recorded", "found"),
    [
        (recipe(3), None, ["cifar10"]),
        (recipe(0), None, []),
        (recipe(0, weights={"run": "a"}), [data("stl10")], ["stl10"]),
        (recipe(2, weights={"run": "a"}), [data("stl10"), None], ["cifar10", "stl10", None]),
        (recipe(2, weights={"run": "a"}), [data("cifar10")], ["cifar10"]),
        (recipe(0, weights={"run": "a"}), None, [None]),
        (recipe(0, weights={"file": "a"}), None, [None]),
        (recipe(4, continue_from="a"), [data("cifar10")], ["cifar10"]),
    ],
)
def test_what_weights_were_trained_on(made: Any, recorded: Any, found: list[str | None]) -> None:
    assert [each and each["name"] for each in trained_on(made, recorded)] == found
