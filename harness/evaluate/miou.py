"""Mean intersection over union: how well predicted masks cover true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.masks import IGNORED
from harness.errors import DataError
from harness.runtime.world import World


def confusion(predicted: Tensor, true: Tensor, classes: int) -> Tensor:
    """Number of pixels of each true class (rows) that were predicted as each class (columns).

    Args:
        predicted: integers of any shape, in [0, classes).
        true: integers of the same shape, in [0, classes) or IGNORED.

    Returns:
        int64 (classes, classes), on the masks' device. Matrices of several images are added.

    Raises:
        ValueError: the shapes differ, or a label is outside its range.
    """
    if predicted.shape != true.shape:
        raise ValueError(f"masks of {tuple(predicted.shape)} and {tuple(true.shape)}")
    counted = true != IGNORED
    rows, columns = true[counted].long(), predicted[counted].long()
    for what, labels in (("true", rows), ("predicted", columns)):
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(f"a {what} label is not in [0, {classes})")
    return torch.bincount(rows * classes + columns, minlength=classes**2).view(classes, classes)


@dataclass(frozen=True)
class MeanIoU:
    """Scores in percent, from the pixels of all images together (as VOC's and Cityscapes' own)."""

    mean: float
    """Over the classes that occur."""
    per_class: tuple[float | None, ...]
    """None: the class occurs nowhere, neither in true nor in predicted masks."""
    accuracy: float
    """Share of pixels that are predicted correctly."""

    def remark(self, names: Sequence[str]) -> str:
        """A sentence about the classes left out of the mean; "" if there are none."""
        absent = [name for name, iou in zip(names, self.per_class, strict=True) if iou is None]
        if not absent:
            return ""
        return (
            f"mIoU is over {len(names) - len(absent)} of {len(names)} classes: no pixel is, or was "
            f"predicted as, {', '.join(absent)}"
        )


def mean_iou(counts: Tensor, world: World) -> MeanIoU:
    """The scores of all ranks' pixels.

    Args:
        counts: this rank's sum of `confusion`, int64 (classes, classes).

    Raises:
        DataError: no rank has a pixel that counts.
    """
    total = world.sum(counts.to(world.device)).cpu()
    pixels = int(total.sum())
    if not pixels:
        raise DataError(
            f"no pixel of the test masks has a class: all have the label {IGNORED}, which is not "
            "counted; use another split, or repair the masks"
        )
    hit = total.diagonal()
    union = (total.sum(0) + total.sum(1) - hit).tolist()
    ious = tuple(
        100 * intersection / either if either else None
        for intersection, either in zip(hit.tolist(), union, strict=True)
    )
    present = [iou for iou in ious if iou is not None]
    return MeanIoU(sum(present) / len(present), ious, 100 * int(hit.sum()) / pixels)
