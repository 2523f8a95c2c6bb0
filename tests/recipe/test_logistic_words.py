"""Logistic regression in words."""

from __future__ import annotations

from typing import Any

import pytest

from harness.recipe.evaluation import LogisticTask
from harness.recipe.logistic_words import logistic_words, remarks


def words(**changes: Any) -> str:
    said = LogisticTask.model_validate({"kind": "logistic", **changes})
    return logistic_words(said.model_dump(mode="json"), {"name": "cifar10", "images": 40}, [])


def test_the_protocol_says_what_decides_the_number() -> None:
    assert "C of 0.001, 0.01, 0.1, 1, 10 by 3-fold cross-validation, backbone" in words()
    assert "centre crops of cifar10 of 40 images" in words()
    assert "at most 9 iterations to 0.01" in words(iterations=9, tolerance=0.01)
    assert "not normalised" in words()
    assert "each of length 1" in words(normalise="l2")
    assert ", output," in words(layer="output")
    assert "holding out 1 of 10 folds" in words(folds=10, held_out=1)
    single = words(c=(0.5,))
    assert single.startswith("C 0.5, backbone")
    assert "fold" not in single


@pytest.mark.parametrize(
    ("grid", "c", "unconverged", "said"),
    [
        ([0.1, 1.0, 10.0], 1.0, [], []),
        ([0.1, 1.0, 10.0], 0.1, [], ["smallest"]),
        ([10.0, 1.0, 0.1], 10.0, [], ["largest"]),
        ([0.1], 0.1, [], []),
        ([0.1, 1.0, 10.0], 1.0, [1.0, 10.0], ["C = 1, 10;"]),
        ([0.1, 1.0], 1.0, [0.1], ["largest", "C = 0.1;"]),
    ],
)
def test_what_limits_the_choice_is_said(
    grid: list[float], c: float, unconverged: list[float], said: list[str]
) -> None:
    found = remarks(grid, c, unconverged)
    assert len(found) == len(said)
    assert all(part in remark for part, remark in zip(said, found, strict=True))
