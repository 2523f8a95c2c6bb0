"""Batch norm of each group of a large tensor on a CPU, written into one output.

A loop over groups that joins their outputs copies them all. Once they no longer fit a cache, that
costs more than their arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Statistics = tuple[Tensor | None, Tensor | None]


def split_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    group: int,
    eps: float,
    statistics: Sequence[Statistics],
    momentum: float,
) -> Tensor:
    """Normalise group by group; outputs and running statistics equal a loop's bit for bit.

    Args:
        x: (N, C, H, W), N a multiple of `group`.
        weight: (C,), of the same dtype; so is `bias`.
        group: images per group.
        eps: is added to the variances, as in nn.BatchNorm2d.
        statistics: for each group, the running mean and variance (C,) that it updates, or Nones.
        momentum: of the running statistics, as in nn.BatchNorm2d.

    Returns:
        The normalised (N, C, H, W), in the layout of `x`.
    """
    out: Tensor = _SplitNorm.apply(x, weight, bias, group, eps, statistics, momentum)
    return out


class _SplitNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        group: int,
        eps: float,
        statistics: Sequence[Statistics],
        momentum: float,
    ) -> Tensor:
        out = torch.empty_like(x)
        saved: list[Tensor] = []
        for part, place, (mean, variance) in zip(
            torch.split(x, group), torch.split(out, group), statistics, strict=True
        ):
            own = torch.empty_like(weight), torch.empty_like(weight)
            torch.ops.aten.native_batch_norm.out(
                part, weight, bias, mean, variance, True, momentum, eps,
                out=place, save_mean=own[0], save_invstd=own[1],
            )  # fmt: skip
            saved += own
        ctx.save_for_backward(x, weight, *saved)
        ctx.group, ctx.eps = group, eps
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *saved = ctx.saved_tensors
        dys, parts = (torch.split(each, ctx.group) for each in (grads[0], x))
        found = [
            torch.ops.aten.native_batch_norm_backward(
                dy, part, weight, None, None, mean, inverse, True, ctx.eps, [True, True, True]
            )
            for dy, part, mean, inverse in zip(dys, parts, saved[::2], saved[1::2], strict=True)
        ]
        dx, by_weight, by_bias = zip(*found, strict=True)
        sums = torch.stack(by_weight).sum(0), torch.stack(by_bias).sum(0)
        return torch.cat(dx), *sums, *[None] * 4
