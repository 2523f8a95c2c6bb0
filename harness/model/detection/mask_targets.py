"""Masks between an image and the grids over boxes: what to learn, and what was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import roi_align

from harness.model.detection.boxes import Polygons, Size

_FINER = 5
"""COCO's rasteriser follows outlines on a grid this much finer than the pixels."""


def mask_targets(
    masks: Tensor | Sequence[Polygons], which: Tensor, boxes: Tensor, side: int
) -> Tensor:
    """The instances' masks on a grid over each box, as detectron2 makes them.

    Bitmaps: the mean over a cell (RoIAlign) is at least one half. Polygons: scaled so that the box
    is `side` pixels wide and high, then filled by COCO's rule.

    Args:
        masks: bool (n, H, W), or each instance's polygons.
        which: int64 (m,), the instance of each box.
        boxes: float (m, 4).

    Returns:
        bool (m, side, side), on the device of `boxes`.
    """
    if isinstance(masks, Tensor):
        dtype = torch.promote_types(boxes.dtype, torch.float32)
        rows = torch.cat((which[:, None].to(dtype), boxes.to(dtype)), 1)
        shares: Tensor = roi_align(masks[:, None].to(dtype), rows, side, 1.0, 0, aligned=True)
        return shares[:, 0] >= 0.5
    made = np.zeros((len(boxes), side, side), dtype=bool)
    corners = boxes.detach().cpu().numpy()
    for place, instance, (x1, y1, x2, y2) in zip(made, which.tolist(), corners, strict=True):
        factors = side / max(x2 - x1, 0.1), side / max(y2 - y1, 0.1)
        for polygon in masks[instance]:
            points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
            place |= filled((points - (x1, y1)) * factors, side, side)
    return torch.from_numpy(made).to(boxes.device)


def filled(points: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """The pixels inside a polygon by COCO's rule (rleFrPoly of its maskApi.c).

    The outline is walked on a finer grid. Where it enters the column of a pixel's centre, all
    pixels from there on, column by column, change sides.

    Args:
        points: (n, 2), x and y in pixels.

    Returns:
        bool (height, width).
    """
    corners = np.trunc(_FINER * points + 0.5).astype(np.int64)
    path = [_walk(a, b) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)]
    walked = np.concatenate(path)
    before, after = walked[:-1], walked[1:]
    x = np.where(after[:, 0] < before[:, 0], after[:, 0], after[:, 0] - 1)
    x, rest = np.divmod(x - _FINER // 2, _FINER)
    crosses = (before[:, 0] != after[:, 0]) & (rest == 0) & (x >= 0) & (x <= width - 1)
    y = (np.minimum(before[:, 1], after[:, 1]) + 0.5) / _FINER - 0.5
    row = np.ceil(y.clip(0, height)).astype(np.int64)
    changes = np.bincount((x * height + row)[crosses], minlength=height * width + 1)
    inside: NDArray[np.bool_] = np.cumsum(changes[: height * width]) % 2 == 1
    return inside.reshape(width, height).T


def _walk(start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """The points (k, 2) of the finer grid from one corner to the next, both included."""
    along = int(abs(end[1] - start[1]) > abs(end[0] - start[0]))
    steps = abs(int(end[along] - start[along]))
    if not steps:
        return start[None]
    flips = end[along] < start[along]
    a, b = (end, start) if flips else (start, end)
    d = np.arange(steps + 1)
    points = np.empty((steps + 1, 2), dtype=np.int64)
    points[:, along] = d + a[along]
    slope = float(b[1 - along] - a[1 - along]) / steps
    points[:, 1 - along] = np.trunc(a[1 - along] + slope * d + 0.5)
    return points[::-1] if flips else points


def pasted(masks: Tensor, boxes: Tensor, size: Size) -> Tensor:
    """The masks of detections as pixels of their image.

    Args:
        masks: probabilities (n, M, M) on a grid over each box.
        boxes: (n, 4).
        size: of the image.

    Returns:
        bool (n, height, width): at least one half, between the grid's centres by a bilinear rule.
    """
    height, width = size
    out = torch.zeros(len(masks), height, width, dtype=torch.bool, device=masks.device)
    for place, mask, box in zip(out, masks, boxes, strict=True):
        left, top = (int(v) for v in (box[:2].floor() - 1).clamp(min=0))
        right, bottom = int(box[2].ceil()) + 1, int(box[3].ceil()) + 1
        right, bottom = min(right, width), min(bottom, height)
        x = torch.arange(left, right, device=box.device, dtype=mask.dtype) + 0.5
        y = torch.arange(top, bottom, device=box.device, dtype=mask.dtype) + 0.5
        x = (x - box[0]) / (box[2] - box[0]) * 2 - 1
        y = (y - box[1]) / (box[3] - box[1]) * 2 - 1
        down, across = torch.meshgrid(y, x, indexing="ij")
        grid = torch.stack((across, down), -1)[None].to(mask.dtype)
        found = F.grid_sample(mask[None, None], grid, align_corners=False)
        place[top:bottom, left:right] = found[0, 0] >= 0.5
    return out
