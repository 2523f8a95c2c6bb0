"""A whole detector to export, read from the last checkpoint of the stage that trained it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.errors import RecipeError, StoreError
from harness.export.formats import NO_SMALL_STEM
from harness.model.detection.build import detector
from harness.recipe.detection import DetectionTask
from harness.recipe.schema import Model
from harness.runtime import checkpoint
from harness.store.layout import StageFolder

SCORES = "box.score.bias"
"""As long as there are classes, and one more for background."""


@dataclass(frozen=True)
class TrainedDetector:
    """A detector's tensors on the CPU, and how it was built and trained."""

    model: Model
    section: DetectionTask
    classes: int
    """Without background."""
    tensors: Mapping[str, Tensor]
    """By this harness's names."""


def refuse(model: Model, section: DetectionTask) -> None:
    """Raise an error if detectron2 cannot build the detector.

    Raises:
        RecipeError: it cannot, and why.
    """
    if why := why_not(model, section):
        raise RecipeError(
            f"detector {section.detector} on {model.backbone} cannot be exported to detectron2: "
            f"{why}; only this harness can use it"
        )


def why_not(model: Model, section: DetectionTask) -> str:
    """Why detectron2 cannot build the detector; "" if it can."""
    kind, deep = section.detector, model.backbone not in ("resnet18", "resnet34")
    if kind == "small":
        return "it has no counterpart there: its anchors and proposals are for scenes of 48 pixels"
    if kind == "dc5":
        return "it has no convolution to 512 channels behind res5 (dc5_detectron2 is its own form)"
    if model.backbone.endswith("_cifar"):
        return NO_SMALL_STEM
    if kind in ("c4", "mask_c4") and not deep:
        return "its C4 head has three bottleneck blocks"
    if kind == "dc5_detectron2" and not deep:
        return "it dilates no network of basic blocks"
    return ""


def read(
    folder: StageFolder, model: Model, section: DetectionTask, result: Mapping[str, Any]
) -> TrainedDetector:
    """The detector of a finished stage.

    Args:
        result: the stage's result.json, with the last step and the trained weights' digest.

    Raises:
        StoreError: the checkpoint is missing, damaged, not the one that the result names, or does
            not fit the recipe.
    """
    digest, step = result.get("trained"), result.get("step")
    at = (path for found, path in checkpoint.listed(folder.checkpoints) if found == step)
    path = next((path for path in at if path.stem.endswith(f"-{digest}")), None)
    state = checkpoint.read(path) if path is not None else None
    if state is None:
        raise StoreError(
            f"{folder.checkpoints}: the checkpoint of the last step, {step}, whose digest the "
            f"result names ({digest}), is missing or damaged; restore it, or move the stage's "
            "folder away and train again"
        )
    tensors = state.get("model")
    if state.get("stage") != folder.id or not isinstance(tensors, dict):
        raise StoreError(
            f"{path}: belongs to {state.get('stage')}, not to this stage; move it away"
        )
    scores = tensors.get(SCORES)
    classes = len(scores) - 1 if isinstance(scores, Tensor) and scores.dim() == 1 else 0
    with torch.device("meta"):
        own = detector(section.detector, model, max(classes, 1), section.pad_group).state_dict()
    wrong = sorted(own.keys() ^ tensors.keys())
    wrong += [n for n, x in own.items() if n in tensors and tensors[n].shape != x.shape]
    if wrong:
        raise StoreError(
            f"{folder.checkpoints}: the last checkpoint does not fit the stage's recipe "
            f"({', '.join(wrong[:3])}); move it away and train again"
        )
    return TrainedDetector(model, section, classes, {n: x.contiguous() for n, x in tensors.items()})
