"""Anchors: the boxes that proposals start from, at every cell of every level of a feature map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

RATIOS = (0.5, 1.0, 2.0)
"""Height over width."""


def anchors(sizes: Sequence[float], stride: int, height: int, width: int, like: Tensor) -> Tensor:
    """The anchors of one level, not rounded, the first cell's centred on the image's corner.

    Args:
        sizes: square roots of their areas, in pixels.
        stride: pixels from one cell to the next.
        height: cells of the map; so is `width`.
        like: the device and dtype of the result.

    Returns:
        (height * width * len(sizes) * len(RATIOS), 4): rows, then columns, sizes, ratios.
    """
    shapes = []
    for size in sizes:
        for ratio in RATIOS:
            w = (size * size / ratio) ** 0.5
            shapes.append((-w / 2, -w * ratio / 2, w / 2, w * ratio / 2))
    cell = like.new_tensor(shapes)
    y = torch.arange(height, device=like.device, dtype=like.dtype) * stride
    x = torch.arange(width, device=like.device, dtype=like.dtype) * stride
    down, across = torch.meshgrid(y, x, indexing="ij")
    corners = torch.stack((across, down, across, down), -1).reshape(-1, 1, 4)
    return (corners + cell).reshape(-1, 4)
