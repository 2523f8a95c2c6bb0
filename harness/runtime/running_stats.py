"""Batch norm's running statistics, made the same on every process."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from harness.runtime.world import World


@torch.no_grad()
def share_running_statistics(module: nn.Module, world: World) -> None:
    """Give every process the running statistics that one process with all groups would hold.

    Where they follow the first group's, those are rank 0's, as in the released weights; where they
    follow the groups' mean (GroupedBatchNorm2d, running_stats="mean"), the mean over ranks, since
    a running average is linear and all ranks hold equally many groups. When it is done does not
    change the values up to rounding: before kNN, probe and checkpoint is enough. Counts of batches
    are equal anyway.

    Raises:
        HarnessError: a process was lost.
    """
    first: list[torch.Tensor] = []
    mean: list[torch.Tensor] = []
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            kept = mean if getattr(norm, "running_stats", "first_group") == "mean" else first
            kept += [x for x in (norm.running_mean, norm.running_var) if x is not None]
    world.broadcast_(first)
    world.mean_(mean)
