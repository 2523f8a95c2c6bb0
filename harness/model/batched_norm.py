"""Batch norm of all groups of a small tensor on a CPU at once; sums are products with ones.

A loop over groups divides every group among the threads. Half of each group is then in the wrong
core's cache for the convolution that reads it, and every group starts operations of its own. Here
one operation does all groups, and a thread takes neighbouring groups.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Follow = Callable[[Tensor, Tensor], None]


def batched_norm(
    x: Tensor, weight: Tensor, bias: Tensor, group: int, eps: float, follow: Follow | None = None
) -> Tensor:
    """Normalise group by group.

    Args:
        x: (N, C, H, W), N a multiple of `group`; in channels_last it is not copied.
        weight: (C,), of the same dtype; so is `bias`.
        group: images per group.
        eps: is added to the variances, as in nn.BatchNorm2d.
        follow: is called with each group's mean and its biased variance (G, 1, C).

    Returns:
        The normalised (N, C, H, W) in channels_last.
    """
    learns = x.requires_grad or weight.requires_grad or bias.requires_grad
    if learns and torch.is_grad_enabled():
        out: Tensor = _BatchedNorm.apply(x, weight, bias, group, eps, follow)
        return out
    return _forward(x, weight, bias, group, eps, follow)[0]


def _forward(
    x: Tensor, weight: Tensor, bias: Tensor, group: int, eps: float, follow: Follow | None
) -> tuple[Tensor, ...]:
    """The output, then (G, 1, C) each: mean, 1 / deviation, and weight / deviation."""
    out = torch.empty_like(x, memory_format=torch.channels_last)
    rows, normed = _rows(x, group), _rows(out, group)  # (G, P, C): P pixels of a group
    share = _row(*rows.shape[:2], rows.dtype, mean=True)
    mean = torch.bmm(share, rows)  # (G, 1, C)
    torch.sub(rows, mean, out=normed)
    variance = torch.bmm(share, torch.mul(normed, normed, out=normed))
    inverse = (variance + eps).rsqrt_()
    scale = inverse * weight
    # Uses x, which the convolution made anyway, so no centred copy is kept. If a mean is many
    # deviations, the gradient loses that many times float32's last digit.
    torch.addcmul(torch.addcmul(bias, mean, scale, value=-1), rows, scale, out=normed)
    if follow is not None:
        follow(mean, variance)
    return out, mean, inverse, scale


class _BatchedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        x, _, _, ctx.group, _, _ = args
        out, *saved = _forward(*args)
        ctx.save_for_backward(x, *saved)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, inverse, scale = ctx.saved_tensors
        _, channels, height, width = x.shape
        rows, dy = _rows(x, ctx.group), _rows(grads[0], ctx.group)
        groups, pixels, _ = rows.shape
        ones = _row(groups, pixels, rows.dtype, mean=False)
        dx = torch.mul(rows, dy, out=rows.new_empty(rows.shape))  # (G, P, C) in memory too
        across = torch.bmm(ones, dy)  # (G, 1, C): the sum of dy; and that of dy normalised(x):
        along = torch.bmm(ones, dx).addcmul_(mean, across, value=-1).mul_(inverse)
        by_weight, by_bias = along.sum((0, 1)), across.sum((0, 1))
        # dx = scale (dy - (across + along normalised(x)) / pixels)
        share = scale * (-1 / pixels)
        along.mul_(inverse).mul_(share)
        rest = across.mul_(share).addcmul_(along, mean, value=-1)
        torch.addcmul(rest, rows, along, out=dx).addcmul_(dy, scale)
        strides = height * width * channels, 1, width * channels, channels
        return dx.as_strided(x.shape, strides), by_weight, by_bias, None, None, None


def _rows(x: Tensor, group: int) -> Tensor:
    """x as (G, P, C); a view, in one operation, if x is in channels_last."""
    n, channels, height, width = x.shape
    shape = n // group, group * height * width, channels
    if x.is_contiguous(memory_format=torch.channels_last):
        return x.as_strided(shape, (shape[1] * channels, channels, 1))
    return x.permute(0, 2, 3, 1).reshape(shape)


@functools.lru_cache(128)
def _row(groups: int, pixels: int, dtype: torch.dtype, *, mean: bool) -> Tensor:
    """(G, 1, P) of ones, or of 1 / P: a product with it is a sum over pixels, or a mean."""
    value = 1 / pixels if mean else 1.0
    return torch.full((groups, 1, pixels), value, dtype=dtype, device="cpu")
