"""What stands beside the accuracy of a linear probe."""

from __future__ import annotations

from typing import Any

import pytest

from harness.recipe.evaluation import Linear
from harness.recipe.linear_words import linear_words

CIFAR = {"name": "cifar10", "folder": None, "images": None}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "100 epochs, batch 256, lr 30, random crops of cifar10"),
        (
            {"epochs": 5, "drops": [3], "batch": 32, "lr": [1.0, 0.1, 30], "views": "center"},
            "5 epochs, batch 32, lr 1 (as sensitivity also 0.1, 30), centre crops of cifar10",
        ),
        (
            {"weight_decay": [1e-4, 0.0]},
            "lr 30, weight decay 0.0001 (as sensitivity also 0), random crops",
        ),
        ({"weight_decay": [0.0, 1e-4]}, "weight decay 0 (as sensitivity also 0.0001)"),
    ],
)
def test_what_decides_the_number(changes: dict[str, Any], said: str) -> None:
    linear = Linear.model_validate(changes, strict=False).model_dump(mode="json")
    assert said in linear_words(linear, CIFAR, [])


def test_the_data() -> None:
    linear = Linear().model_dump(mode="json")
    of = {"name": "imagefolder", "folder": "photos", "images": 70}
    assert linear_words(linear, of, []).endswith("random crops of photos of 70 images")
