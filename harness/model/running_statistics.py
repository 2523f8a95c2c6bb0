"""Running statistics of batch norm: updated for all norms together after a forward pass."""

from __future__ import annotations

import functools
from types import TracebackType
from typing import Literal, NamedTuple

import torch
from torch import Tensor

RunningStats = Literal["first_group", "mean"]

SHARE = 0.1
"""Weight of a step's statistics in the running ones (nn.BatchNorm2d's `momentum`)."""


class Found(NamedTuple):
    """The statistics of one norm in a forward pass, without gradient.

    Attributes:
        mean: of each group (G, 1, C).
        variance: of each group (G, 1, C), divided by `values`.
        values: number of values per channel in a group.
        running: running mean and variance (C,) to update; the running variance is divided by
            values - 1, as in nn.BatchNorm2d.
        tracked: int64 scalar, the number of passes; it is incremented.
    """

    mean: Tensor
    variance: Tensor
    values: int
    running: tuple[Tensor, Tensor]
    tracked: Tensor


@torch.no_grad()
def follow(found: list[Found], which: RunningStats) -> None:
    """Update the running statistics with all that was found.

    Args:
        found: by norms of one dtype and device, over the same number of groups.
        which: the statistics to follow: the first group's, or the mean over groups.
    """
    if not found:
        return
    every = torch.cat([each.mean for each in found] + [each.variance for each in found], 2)
    one = every[0, 0] if which == "first_group" else every.mean(0)[0]
    sizes = tuple(each.mean.shape[2] for each in found)
    one = one * _unbiased(sizes, tuple(each.values for each in found), one.dtype, one.device)
    running = [each.running[0] for each in found] + [each.running[1] for each in found]
    torch._foreach_lerp_(running, torch.split(one, [*sizes, *sizes]), SHARE)
    torch._foreach_add_([each.tracked for each in found], 1)


@functools.lru_cache(16)
def _unbiased(
    sizes: tuple[int, ...], counts: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Factors of all means, 1, and then of all variances, count / (count - 1)."""
    factors = [1.0] * sum(sizes)
    for size, count in zip(sizes, counts, strict=True):
        factors += [count / (count - 1)] * size
    return torch.tensor(factors, dtype=dtype, device=device)


class Running:
    """Collects what an encoder's norms find while it is open, and updates all of them at the end.

    A forward pass that fails updates none of them.
    """

    def __init__(self) -> None:
        self.open = False
        self._found: dict[RunningStats, list[Found]] = {}

    def add(self, found: Found, which: RunningStats) -> None:
        """See `follow`."""
        self._found.setdefault(which, []).append(found)

    def __enter__(self) -> None:
        self.open = True
        self._found = {}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.open = False
        kept, self._found = self._found, {}
        if kind is None:
            for which, found in kept.items():
                follow(found, which)
