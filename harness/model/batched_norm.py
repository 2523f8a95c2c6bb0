"""Batch norm of all groups of a small tensor on a CPU at once, each sum a product with ones.

A loop over groups divides every group among the threads, so that half of each then lies in the
wrong core's cache for the convolution that reads it, and starts an operation for each. Here an
operation is for all groups, and a thread takes neighbouring ones.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Normed = tuple[Tensor, Tensor, Tensor]


def batched_norm(x: Tensor, weight: Tensor, bias: Tensor, group: int, eps: float) -> Normed:
    """Normalise group by group.

    Args:
        x: (N, C, H, W), N a multiple of `group`; in channels_last it is not copied.
        weight: (C,), of the same dtype; so is `bias`.
        group: images per group.
        eps: is added to the variances, as in nn.BatchNorm2d.

    Returns:
        The normalised (N, C, H, W) in channels_last; each group's mean and its biased variance
        (G, C), which have no gradient.
    """
    normed: Normed = _BatchedNorm.apply(x, weight, bias, group, eps)
    return normed


class _BatchedNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, group: int, eps: float
    ) -> Normed:
        rows = _rows(x, group)  # (G, P, C): P pixels of a group
        share = _share(*rows.shape[:2], rows.dtype)
        mean = torch.bmm(share, rows)  # (G, 1, C)
        centred = rows - mean
        out = torch.empty_like(x, memory_format=torch.channels_last)
        normed = torch.mul(centred, centred, out=_rows(out, group))
        variance = torch.bmm(share, normed)
        inverse = (variance + eps).rsqrt_()
        scale = inverse * weight
        torch.addcmul(bias, centred, scale, out=normed)
        mean, variance = mean.squeeze(1), variance.squeeze(1)
        ctx.save_for_backward(centred, inverse, scale)
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        centred, inverse, scale = ctx.saved_tensors
        dy = grads[0]
        n, channels, height, width = dy.shape
        rows = _rows(dy, n // len(centred))
        share = _share(*rows.shape[:2], rows.dtype)
        dx = rows * centred
        along = torch.bmm(share, dx).mul_(inverse)  # (G, 1, C): of dy times the normalised x
        mean = torch.bmm(share, rows)
        pixels = rows.shape[1]
        by_weight, by_bias = along.sum((0, 1)).mul_(pixels), mean.sum((0, 1)).mul_(pixels)
        # dx = scale (dy - mean - along * normalised x)
        along.mul_(inverse).mul_(scale).neg_()
        torch.addcmul(mean.mul_(scale).neg_(), centred, along, out=dx).addcmul_(rows, scale)
        by_images = dx.view(n, height, width, channels).permute(0, 3, 1, 2)
        return by_images, by_weight, by_bias, None, None


def _rows(x: Tensor, group: int) -> Tensor:
    n, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(n // group, group * height * width, channels)


@functools.lru_cache(64)
def _share(groups: int, pixels: int, dtype: torch.dtype) -> Tensor:
    """(G, 1, P) of 1 / P: a product with it is a mean over pixels."""
    return torch.full((groups, 1, pixels), 1 / pixels, dtype=dtype, device="cpu")
