"""RoIAlign: a grid of features from inside each box (Mask R-CNN, Sec. 3).

Coordinates are aligned: a pixel's centre is at .5, on the image as on the map. Each cell is the
mean over as many points as it has pixels of the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torchvision  # noqa: F401  registers its operators
from torch import Tensor
from torch.autograd.function import once_differentiable

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
    found: Tensor = _RoIAlign.apply(wide, rows.to(wide.dtype), 1 / stride, side)
    return found


class _RoIAlign(torch.autograd.Function):
    """torchvision's operator with a gradient that is the same in every run on a GPU too.

    Its own there adds up in any order. What torchvision does instead when deterministic kernels are
    asked for holds all points of all boxes in memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, scale: float, side: int) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.shape, ctx.scale = x.shape, scale
        out: Tensor = torch.ops.torchvision.roi_align(x, rows, scale, side, side, 0, True)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (rows,) = ctx.saved_tensors
        if grads[0].device.type == "cpu":
            side = grads[0].shape[-1]
            own: Tensor = torch.ops.torchvision._roi_align_backward(
                grads[0], rows, ctx.scale, side, side, *ctx.shape, 0, True
            )
            return own, None, None, None
        return spread(grads[0], rows, ctx.scale, ctx.shape), None, None, None


def spread(gradient: Tensor, rows: Tensor, scale: float, shape: Sequence[int]) -> Tensor:
    """The gradient of RoIAlign's input, by products of matrices.

    A cell's value is a sum over rows and columns of the map, with weights that are products of a
    row's and a column's.

    Args:
        gradient: (m, C, S, S), of the output.
        rows: (m, 5), the image's number and the box in pixels.
        scale: of a pixel on the map.
        shape: of the input (n, C, h, w).

    Returns:
        (n, C, h, w).
    """
    images, channels, height, width = shape
    side = gradient.shape[-1]
    out = gradient.new_zeros(images, height, width * channels)
    down = _shares(rows[:, 2], rows[:, 4], scale, height, side)
    across = _shares(rows[:, 1], rows[:, 3], scale, width, side)
    chunk = max(1, _ELEMENTS // (side * width * channels))
    with torch.autocast(gradient.device.type, enabled=False):
        for number in range(images):
            for part in torch.split((rows[:, 0] == number).nonzero()[:, 0], chunk):
                cells = gradient[part].permute(0, 2, 3, 1)  # (k, row, column, C)
                columns = across[part].mT[:, None] @ cells  # (k, row, w, C)
                own = down[part].reshape(-1, height)  # (k * row, h)
                out[number].addmm_(own.mT, columns.reshape(len(own), -1))
    return out.view(images, height, width, channels).permute(0, 3, 1, 2).contiguous()


_ELEMENTS = 1 << 25
"""Most numbers of an intermediate result: 128 MiB of float32."""


def _shares(low: Tensor, high: Tensor, scale: float, length: int, side: int) -> Tensor:
    """How much of each place along one axis of the map is in each cell of a box, (m, side, length).

    Args:
        low: (m,), where the boxes begin, in pixels; `high`: where they end.
    """
    start = low * scale - 0.5
    extent = high * scale - 0.5 - start
    points = torch.ceil(extent / side).clamp(min=0)  # of each cell
    most = int(points.max()) if len(points) else 0
    step = extent / side
    cell = torch.arange(side, device=low.device, dtype=low.dtype)
    place = torch.arange(length, device=low.device, dtype=low.dtype)
    shares = low.new_zeros(len(low), side, length)
    for point in range(most):
        offset = (point + 0.5) * step / points.clamp(min=1)
        at = (start[:, None] + cell * step[:, None] + offset[:, None])[..., None]
        counts = (point < points)[:, None, None] & (at >= -1) & (at <= length)
        nearness = (1 - (at.clamp(0, length - 1) - place).abs()).clamp(min=0)
        shares += torch.where(counts, nearness, 0)
    return shares / points.clamp(min=1)[:, None, None]


def _levels(boxes: Tensor, strides: Sequence[int]) -> Tensor:
    """The level of each box: one more when its side doubles (FPN, Eq. 1)."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    log = torch.log2(area.sqrt() / CANONICAL + 1e-8) + 4
    first = strides[0].bit_length() - 1
    return log.floor().long().clamp(first, first + len(strides) - 1) - first
