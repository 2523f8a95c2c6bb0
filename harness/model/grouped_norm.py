"""Batch normalisation over fixed groups of a batch.

MoCo's official runs normalise over 32 images, one GPU's share of 256; shuffling BN acts between
such groups (MoCo v1, Sec. 3.3). Here the group belongs to the recipe, so one process can hold
several: positions [0, g), [g, 2g), ... of the batch are normalised each by itself.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RunningStats = Literal["first_group", "mean"]


class GroupedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose training statistics are taken over consecutive groups of images.

    Args:
        num_features: channels C of the input (N, C, H, W).
        group: images per group; N must be a multiple of it in training mode.
        running_stats: whose statistics the running averages follow: the first group's (the
            official ImageNet code keeps GPU 0's) or the mean over groups (the official CIFAR-10
            demo's SplitBatchNorm).

    Raises:
        ValueError: in training mode, if N is not a multiple of `group`.
    """

    def __init__(
        self, num_features: int, *, group: int, running_stats: RunningStats = "first_group"
    ) -> None:
        super().__init__(num_features)
        self.group = group
        self.running_stats = running_stats

    def forward(self, input: Tensor) -> Tensor:
        n = input.shape[0]
        if not self.training or n == self.group:
            return super().forward(input)
        if n % self.group:
            raise ValueError(f"a batch of {n} images cannot be split into groups of {self.group}")
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum if self.momentum is not None else 0.1
        parts = torch.split(input, self.group)
        if self.running_stats == "first_group":
            stats = [(self.running_mean, self.running_var)]
            stats += [(None, None)] * (len(parts) - 1)  # type: ignore[list-item]
        else:
            stats = [(self.running_mean.clone(), self.running_var.clone()) for _ in parts]
        out = torch.cat(
            [
                F.batch_norm(part, mean, var, self.weight, self.bias, True, momentum, self.eps)
                for part, (mean, var) in zip(parts, stats, strict=True)
            ]
        )
        if self.running_stats == "mean":
            self.running_mean.copy_(torch.stack([mean for mean, _ in stats]).mean(0))
            self.running_var.copy_(torch.stack([var for _, var in stats]).mean(0))
        return out
