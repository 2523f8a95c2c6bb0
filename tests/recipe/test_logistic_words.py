"""Logistic regression in words."""

from __future__ import annotations

from typing import Any

import pytest

from harness.recipe.evaluation import LogisticTask
from harness.recipe.logistic_words import protocol_words, remarks


def words(**changes: Any) -> str:
    return protocol_words(LogisticTask.model_validate({"kind": "logistic", **changes}))


def test_the_protocol_says_what_decides_the_number() -> None:
    assert "0.001, 0.01, 0.1, 1, 10 chosen by 3-fold cross-validation" in words()
    assert "not normalised" in words()
    assert "each of length 1" in words(normalise="l2")
    assert "head's output" in words(layer="output")
    assert "holding out 1 of 10 folds" in words(folds=10, held_out=1)
    single = words(c=(0.5,))
    assert "C = 0.5;" in single
    assert "chosen" not in single


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
