"""RoIAlign: a grid of features from inside each box (Mask R-CNN, Sec. 3).

Coordinates are aligned: a pixel's centre is at .5, on the image as on the map. Each cell is the
mean over as many points as it has pixels of the map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align

from harness.runtime.precision import widen

CANONICAL = 224
"""A box of this side, in pixels, is read from the level of stride 16 (FPN, Eq. 1)."""


def pooled(
    levels: Sequence[Tensor], strides: Sequence[int], boxes: Sequence[Tensor], side: int
) -> Tensor:
    """Features of boxes, each from the level that suits its size.

    Args:
        levels: (n, C, h, w) each.
        strides: of the levels, in pixels; each twice the one before.
        boxes: float (m, 4) in pixels, for each of the n images.

    Returns:
        (sum of m, C, side, side), images in order.
    """
    images = torch.cat([torch.full_like(own[:, :1], n) for n, own in enumerate(boxes)])
    every = torch.cat(list(boxes))
    rows = torch.cat((images, every), 1)
    if len(levels) == 1:
        return _aligned(levels[0], rows, strides[0], side)
    level = _levels(every, strides)
    out = widen(levels[0]).new_zeros(len(rows), levels[0].shape[1], side, side)
    for number, (x, stride) in enumerate(zip(levels, strides, strict=True)):
        own = (level == number).nonzero()[:, 0]
        out = out.index_put((own,), _aligned(x, rows[own], stride, side))
    return out


def _aligned(x: Tensor, rows: Tensor, stride: int, side: int) -> Tensor:
    wide = widen(x)
    found: Tensor = roi_align(wide, rows.to(wide.dtype), side, 1 / stride, 0, aligned=True)
    return found


def _levels(boxes: Tensor, strides: Sequence[int]) -> Tensor:
    """The level of each box: one more when its side doubles (FPN, Eq. 1)."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    log = torch.log2(area.sqrt() / CANONICAL + 1e-8) + 4
    first = strides[0].bit_length() - 1
    return log.floor().long().clamp(first, first + len(strides) - 1) - first
