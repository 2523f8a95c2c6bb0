"""Batch norm over the whole batch of all processes, and its statistics computed precisely."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from harness.model.grouped_norm import GroupedBatchNorm2d
from harness.model.groups import fit_groups
from harness.model.running_statistics import SHARE
from harness.runtime.world import World


def synchronise_norms(module: nn.Module, *, batch: int, world: World) -> None:
    """Let every norm use the statistics of the global batch, on any number of processes.

    Args:
        batch: images per step over all processes.

    Raises:
        HarnessError: the processes cannot share the batch equally.
        TypeError: a batch norm of the module cannot be synchronised.
    """
    for name, each in module.named_modules():
        if isinstance(each, GroupedBatchNorm2d):
            each.group = batch
        elif isinstance(each, _BatchNorm):
            raise TypeError(f"{name}: a {type(each).__name__} knows no groups")
    fit_groups(module, batch=batch, world=world)


@torch.no_grad()
def set_precise_statistics(module: nn.Module, passes: Iterable[object]) -> None:
    """Replace running statistics by the means of those of single batches (PreciseBN, "Rethinking
    'Batch' in BatchNorm", arXiv:2105.07576, Sec. 3; as fvcore did it for MoCo's detectors).

    The norms are synchronised, so all processes get the same values.

    Args:
        passes: each item is made by one forward pass of the module, in training mode.
    """
    norms = [
        (each.running_mean, each.running_var)
        for each in module.modules()
        if isinstance(each, GroupedBatchNorm2d)
    ]
    running = [x for pair in norms for x in pair if x is not None]
    sums = [torch.zeros_like(x, dtype=torch.float64) for x in running]
    count = 0
    torch._foreach_zero_(running)
    for _ in passes:
        # From zero, one pass leaves the batch's statistics times SHARE.
        for total, x in zip(sums, running, strict=True):
            total.add_(x.double() / SHARE)
        torch._foreach_zero_(running)
        count += 1
    for total, x in zip(sums, running, strict=True):
        x.copy_(total / count)
