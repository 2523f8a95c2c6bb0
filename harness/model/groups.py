"""Batch-norm groups laid over processes: a recipe is the same experiment on any number of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.model.grouped_norm import GroupedBatchNorm2d
from harness.runtime.world import World


def _norms(module: nn.Module) -> list[GroupedBatchNorm2d]:
    return [each for each in module.modules() if isinstance(each, GroupedBatchNorm2d)]


def fit_groups(module: nn.Module, *, batch: int, world: World) -> None:
    """Tell the module's norms about the other processes.

    Args:
        batch: images per step over all processes.

    Raises:
        HarnessError: the processes' shares would not consist of whole groups.
    """
    for norm in _norms(module):
        share, rest = divmod(batch, world.size)
        if norm.group != batch and (rest or share % norm.group):
            fitting = [n for n in range(1, batch // norm.group + 1) if batch // norm.group % n == 0]
            raise HarnessError(
                f"{world.size} processes cannot share a batch of {batch} in whole batch-norm "
                f"groups of {norm.group}; use {', '.join(map(str, fitting))} of them"
            )
        if rest:
            raise HarnessError(f"{world.size} processes cannot share a batch of {batch} equally")
        norm.world = world


@torch.no_grad()
def share_running_statistics(module: nn.Module, world: World) -> None:
    """After it every process holds the same running statistics: what the recipe says they are.

    first_group: the first process's, whose first group is the batch's. mean: the processes' mean,
    each being the mean of its groups.
    """
    if world.size == 1:
        return
    by_kind: dict[str, list[Tensor]] = {"first_group": [], "mean": []}
    for norm in _norms(module):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        by_kind[norm.running_stats] += [norm.running_mean, norm.running_var]
    world.broadcast_(by_kind["first_group"])
    world.mean_(by_kind["mean"])
