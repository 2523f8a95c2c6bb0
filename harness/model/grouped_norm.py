"""Batch normalisation over fixed groups of a batch.

MoCo's official runs normalise over 32 images, one GPU's share of 256; shuffling BN acts between
such groups (MoCo v1, Sec. 3.3). Here the group belongs to the recipe, so one process can hold
several: positions [0, g), [g, 2g), ... of the batch are normalised separately. If a group is the
whole batch of several processes, it is synchronised over them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.model.batched_norm import batched_norm
from harness.model.running_statistics import SHARE, Found, Running, RunningStats, follow
from harness.model.split_norm import Statistics, split_norm
from harness.runtime.precision import widen
from harness.runtime.world import World

LARGE = 1 << 21
"""Elements from which `split_norm` is faster than `batched_norm` (8 MiB of float32; two cores of
an AMD EPYC). On a CPU a loop over the groups is slower than either."""


class GroupedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose training statistics are taken over consecutive groups of images.

    Args:
        num_features: channels C of the input (N, C, H, W).
        group: images per group; N must be a multiple of it in training mode.
        running_stats: whose statistics the running averages follow: the first group's (the
            official ImageNet code keeps GPU 0's) or the mean over groups (the official CIFAR-10
            demo's SplitBatchNorm).

    Raises:
        ValueError: in training mode, if N is not a multiple of `group`, or a group has one value a
            channel, which has no variance.
    """

    def __init__(
        self, num_features: int, *, group: int, running_stats: RunningStats = "first_group"
    ) -> None:
        super().__init__(num_features)
        self.group = group
        self.running_stats = running_stats
        self.world: World | None = None
        self.running: Running | None = None  # the encoder's: updates all its norms together

    def forward(self, input: Tensor) -> Tensor:
        n = input.shape[0]
        if not self.training or n == self.group:
            return super().forward(input)
        if self.world is not None and n * self.world.size == self.group:
            return self._synchronised(input, self.world)
        if n % self.group:
            raise ValueError(f"a batch of {n} images cannot be split into groups of {self.group}")
        if self.group * input.shape[2] * input.shape[3] <= 1:
            raise ValueError("a group with one value per channel has no variance")
        on_cpu = input.device.type == "cpu" and _is_wide(input)
        if on_cpu and input.numel() < LARGE:
            count = self.group * input.shape[2] * input.shape[3]
            found = None if self.running_mean is None else partial(self._follow, count=count)
            return batched_norm(input, self.weight, self.bias, self.group, self.eps, found)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        parts = torch.split(input, self.group)
        stats = self._statistics(len(parts))
        if on_cpu:
            out = split_norm(input, self.weight, self.bias, self.group, self.eps, stats, SHARE)
        else:
            out = torch.cat(
                [
                    F.batch_norm(part, mean, var, self.weight, self.bias, True, SHARE, self.eps)
                    for part, (mean, var) in zip(parts, stats, strict=True)
                ]
            )
        if self.running_stats == "mean" and self.running_mean is not None:
            assert self.running_var is not None
            means, variances = zip(*stats, strict=True)
            self.running_mean.copy_(torch.stack(means).mean(0))
            self.running_var.copy_(torch.stack(variances).mean(0))
        return out

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *others: Any, **more: Any
    ) -> None:
        if self.running_mean is None:  # checkpoints of older editions have them
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                state_dict.pop(prefix + name, None)
        super()._load_from_state_dict(state_dict, prefix, *others, **more)

    def _statistics(self, groups: int) -> list[Statistics]:
        """The running statistics that each group updates."""
        if self.running_mean is None or self.running_var is None:
            return [(None, None)] * groups
        if self.running_stats == "first_group":
            return [(self.running_mean, self.running_var), *[(None, None)] * (groups - 1)]
        return [(self.running_mean.clone(), self.running_var.clone()) for _ in range(groups)]

    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running statistics from those of the groups; see Found."""
        running, variances, tracked = self.running_mean, self.running_var, self.num_batches_tracked
        if running is None or variances is None or tracked is None:
            return
        found = Found(mean, variance, count, (running, variances), tracked)
        if self.running is not None and self.running.open:
            self.running.add(found, self.running_stats)
        else:
            follow([found], self.running_stats)

    def _synchronised(self, input: Tensor, world: World) -> Tensor:
        """Statistics over all processes' images, with their gradient."""
        x = widen(input)
        count = x.numel() // x.shape[1] * world.size
        mean = _sum(x.sum((0, 2, 3)), world) / count
        centred = x - mean.view(-1, 1, 1)
        var = _sum((centred * centred).sum((0, 2, 3)), world) / count
        self._follow(mean.detach().view(1, 1, -1), var.detach().view(1, 1, -1), count)
        scale = self.weight * (var + self.eps).rsqrt()
        return (centred * scale.view(-1, 1, 1) + self.bias.view(-1, 1, 1)).to(input.dtype)


def forget_running_statistics(module: nn.Module) -> None:
    """Drop the running statistics of its norms: from now on they use the batch's statistics."""
    for norm in module.modules():
        if isinstance(norm, GroupedBatchNorm2d):
            norm.track_running_stats = False
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None


def _is_wide(x: Tensor) -> bool:
    """Whether sums of `x` keep float32's digits: neither it nor autocast uses half precision."""
    return x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")


def _sum(x: Tensor, world: World) -> Tensor:
    """The sum over processes of x (C,), whose gradient is summed over them too."""
    return world.gather_with_gradient(x.unsqueeze(0)).sum(0)
