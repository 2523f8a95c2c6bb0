"""Batch-norm groups over processes: a recipe is the same experiment on any number of them."""

from __future__ import annotations

from torch import Tensor, nn

from harness.errors import HarnessError
from harness.model.grouped_norm import GroupedBatchNorm2d
from harness.model.running_statistics import RunningStats
from harness.runtime.world import World


def _norms(module: nn.Module) -> list[GroupedBatchNorm2d]:
    return [each for each in module.modules() if isinstance(each, GroupedBatchNorm2d)]


def fit_groups(module: nn.Module, *, batch: int, world: World) -> None:
    """Set up the module's norms for several processes.

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
                f"groups of {norm.group}; use {', '.join(map(str, fitting))} processes"
            )
        if rest:
            raise HarnessError(f"{world.size} processes cannot share a batch of {batch} equally")
        norm.world = world


def average_running_statistics(module: nn.Module, world: World) -> None:
    """For running_stats mean: give every process the mean over processes, so over all groups.

    Call it after every step. The mean of averages equals the average of means except for rounding,
    so calling it less often would change the last bits.
    """
    if world.size > 1:
        world.mean_(_statistics(module, "mean"))


def broadcast_running_statistics(module: nn.Module, world: World) -> None:
    """For running_stats first_group: copy the first process's to all, before they are read."""
    if world.size > 1:
        world.broadcast_(_statistics(module, "first_group"))


def _statistics(module: nn.Module, kind: RunningStats) -> list[Tensor]:
    found = [norm for norm in _norms(module) if norm.running_stats == kind]
    return [x for n in found for x in (n.running_mean, n.running_var) if x is not None]
