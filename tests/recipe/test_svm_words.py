"""How SVMs were measured, in words."""

from __future__ import annotations

from typing import Any

import pytest

from harness.recipe.svm import SvmTask
from harness.recipe.svm_words import svm_words


def words(**changes: Any) -> str:
    said = SvmTask.model_validate({"kind": "svm", **changes}).model_dump(mode="json")
    return svm_words(said, {"name": "cifar10", "images": None, "size": 32}, ())


def test_what_decides_the_number_is_said() -> None:
    assert words(c=(0.1, 1.0), folds=4, images={"size": 224}) == (
        "C of 0.1, 1 by 4-fold cross-validation for each class, backbone, each of length 1, whole "
        "images stretched to squares of 224 pixels of voc2007, positives of weight 2"
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"c": (0.5,)}, "C 0.5, "),
        ({"normalise": "none"}, "not normalised"),
        ({"layer": "output"}, "output"),
        ({"images": {"view": "crop"}}, "centre crops of 32 pixels of voc2007"),
        ({"images": {"name": "scenes", "images": 90, "size": 48}}, "scenes of 90 images of 48 pix"),
        ({"positive_weight": 1.5}, "weight 1.5"),
    ],
)
def test_each_choice_is_said(changes: dict[str, Any], says: str) -> None:
    assert says in words(**changes)
    assert says not in words()
