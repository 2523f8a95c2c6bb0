"""Boxes: what a detector learns from and what it returns, and arithmetic on them.

A box is (x1, y1, x2, y2) in pixels, counted from the image's upper left corner, so that its width
is x2 - x1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

Size = tuple[int, int]
"""Height and width in pixels."""

Polygons = Sequence[Sequence[float]]
"""An instance's outline: each part x1, y1, x2, y2, ... in pixels."""

LARGEST = math.log(1000 / 16)
"""Predicted factors of width and height are clipped to exp of it (detectron2)."""

Weights = tuple[float, float, float, float]


@dataclass(frozen=True)
class Target:
    """What is to be found in an image, n instances; n may be 0.

    Attributes:
        boxes: float (n, 4), not empty.
        labels: int64 (n,), classes from 0.
        masks: bool (n, H, W), or the polygons of each instance; None if no masks are learnt.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor | Sequence[Polygons] | None = None


@dataclass(frozen=True)
class Detections:
    """What was found in an image, by descending score.

    Attributes:
        boxes: float (n, 4), inside the image.
        labels: int64 (n,), classes from 0.
        scores: float (n,), probabilities.
        masks: float (n, M, M), probabilities on a grid over each box; None without a mask head.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: Tensor | None = None


def encoded(boxes: Tensor, anchors: Tensor, weights: Weights) -> Tensor:
    """How `boxes` differ from `anchors`, as a box predictor says it (Faster R-CNN, Sec. 3.1.2).

    Args:
        boxes: (..., 4).
        anchors: (..., 4), of positive width and height.
        weights: factors of x, y, log width and log height.

    Returns:
        (..., 4): shifts in units of the anchor's width and height, logs of the factors of both.
    """
    (x, y, w, h), (ax, ay, aw, ah) = _centred(boxes), _centred(anchors)
    wx, wy, ww, wh = weights
    parts = wx * (x - ax) / aw, wy * (y - ay) / ah, ww * torch.log(w / aw), wh * torch.log(h / ah)
    return torch.stack(parts, -1)


def decoded(deltas: Tensor, anchors: Tensor, weights: Weights) -> Tensor:
    """The boxes (..., 4) that `deltas` (..., 4) say relative to `anchors`; see `encoded`."""
    x, y, w, h = _centred(anchors)
    wx, wy, ww, wh = weights
    dx, dy, dw, dh = deltas.unbind(-1)
    half_w = 0.5 * w * torch.exp((dw / ww).clamp(max=LARGEST))
    half_h = 0.5 * h * torch.exp((dh / wh).clamp(max=LARGEST))
    x, y = dx / wx * w + x, dy / wy * h + y
    return torch.stack((x - half_w, y - half_h, x + half_w, y + half_h), -1)


def _centred(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Centre x and y, width, height."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    w, h = x2 - x1, y2 - y1
    return x1 + 0.5 * w, y1 + 0.5 * h, w, h


def clipped(boxes: Tensor, size: Size) -> Tensor:
    """The parts of boxes (..., 4) inside an image."""
    height, width = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    xs = x1.clamp(0, width), x2.clamp(0, width)
    ys = y1.clamp(0, height), y2.clamp(0, height)
    return torch.stack((xs[0], ys[0], xs[1], ys[1]), -1)


def not_empty(boxes: Tensor) -> Tensor:
    """Which of the boxes (n, 4) have a width and a height, bool (n,)."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def rescaled(found: Detections, seen: Size, original: Size) -> Detections:
    """The detections in an image of size `seen`, in the same image of size `original`."""
    down, across = original[0] / seen[0], original[1] / seen[1]
    boxes = clipped(found.boxes * found.boxes.new_tensor([across, down, across, down]), original)
    kept = not_empty(boxes)
    masks = None if found.masks is None else found.masks[kept]
    return Detections(boxes[kept], found.labels[kept], found.scores[kept], masks)


def moved_target(target: Target, device: torch.device) -> Target:
    """The target with its tensors on `device`; polygons stay as they are."""
    masks = target.masks
    return replace(
        target,
        boxes=target.boxes.to(device),
        labels=target.labels.to(device),
        masks=masks.to(device) if isinstance(masks, Tensor) else masks,
    )
