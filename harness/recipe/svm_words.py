"""VOC classification by linear SVMs in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.recipe.knn_words import Trained, data_words

VIEWS = {"stretch": "whole images stretched to squares", "crop": "centre crops"}


def svm_words(said: Mapping[str, Any], data: Mapping[str, Any], trained: Trained) -> str:
    """E.g. "C of 0.1, 1 by 3-fold cross-validation for each class, backbone, each of length 1,
    whole images stretched to squares of 224 pixels of voc2007, positives of weight 2".

    Args:
        said: the task's section as JSON values.
        data: the run's data, whose size the images have unless the section says another.
    """
    del trained
    grid = ", ".join(f"{c:g}" for c in said["c"])
    c = f"C {grid}"
    if len(said["c"]) > 1:
        c = f"C of {grid} by {said['folds']}-fold cross-validation for each class"
    return f"{c}, {frozen_words(said, data)}"


def frozen_words(said: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """The features of a task with a layer and a normalisation, and the images that they are of: the
    task's own, if its section has `images`, else `data`."""
    scale = "each of length 1" if said["normalise"] == "l2" else "not normalised"
    images = said.get("images")
    if images is None:
        return f"{said['layer']}, {scale}, centre crops of {data_words(data)}"
    size = f"{images['size'] or data['size']} pixels"
    seen = f"{VIEWS[images['view']]} of {size} of {images['name']}"
    if images["name"] == "scenes":
        seen = f"{data_words(images)} of {size}"
    return f"{said['layer']}, {scale}, {seen}, positives of weight {said['positive_weight']:g}"
