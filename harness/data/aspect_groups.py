"""The order of training images in which neighbours have the same orientation.

Images that are padded together should have one form, or most of a batch is padding. detectron2
fills a group of wide and a group of other images from a shuffled stream, and emits each group when
it is full. Here the same groups are a function of their number: nothing is carried from step to
step, so a resumed run goes on with the same images.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.runtime import keyed


class AspectGroups:
    """Groups of images of one orientation, in the order in which they are full.

    The stream is one keyed permutation of all images after another. An epoch's incomplete groups
    are filled by the next epoch.

    Args:
        wide: bool (n,): which images are wider than high.
        group: images of a group: those that are padded together.
        stream: names the permutations, e.g. (seed, "detection", trial).
    """

    def __init__(self, wide: Tensor, group: int, *stream: int | str) -> None:
        if group < 1 or not len(wide):
            raise ValueError(f"groups of {group} of {len(wide)} images")
        self._wide, self._group, self._stream = wide, group, stream
        self._counts = {True: int(wide.sum()), False: int((~wide).sum())}
        self._emitted: dict[int, Tensor] = {}

    def batch(self, step: int, size: int) -> Tensor:
        """The images of a step over all processes, int64 (size,), group after group; `size` is a
        multiple of the group's."""
        if size % self._group:
            raise ValueError(f"a batch of {size} is not made of groups of {self._group}")
        per_step = size // self._group
        first, last = step * per_step, (step + 1) * per_step
        found: list[Tensor] = []
        # groups of an epoch differ by one at most in each orientation
        epoch = max(0, first * self._group // len(self._wide) - 1)
        while (before := self._before(epoch)) < last:
            if self._before(epoch + 1) > first:
                groups = self._epoch(epoch)
                found.append(groups[max(0, first - before) : last - before])
            epoch += 1
        return torch.cat(found).flatten()

    def _before(self, epoch: int) -> int:
        """Number of groups that are full before the epoch."""
        return sum(epoch * count // self._group for count in self._counts.values())

    def _order(self, epoch: int) -> Tensor:
        return keyed.permutation(keyed.key(*self._stream, "order", epoch), len(self._wide))

    def _epoch(self, epoch: int) -> Tensor:
        """The groups that become full in the epoch, int64 (groups, group)."""
        if epoch not in self._emitted:
            order = self._order(epoch)
            full, when = [], []
            for wide, count in self._counts.items():
                own = self._wide[order] == wide
                carried = self._carried(epoch, wide, epoch * count % self._group)
                members = torch.cat([carried, order[own]])
                groups = len(members) // self._group
                full.append(members[: groups * self._group].view(groups, self._group))
                ends = torch.arange(1, groups + 1) * self._group - 1 - len(carried)
                when.append(own.nonzero()[:, 0][ends])
            placed = torch.cat(full)[torch.cat(when).argsort()]
            self._emitted = {
                key: self._emitted[key] for key in (epoch - 1,) if key in self._emitted
            }
            self._emitted[epoch] = placed
        return self._emitted[epoch]

    def _carried(self, epoch: int, wide: bool, count: int) -> Tensor:
        """The last `count` images of the orientation in the epochs before."""
        found: list[Tensor] = []
        lacking = count
        while lacking:
            epoch -= 1
            order = self._order(epoch)
            own = order[self._wide[order] == wide][-lacking:]
            found.insert(0, own)
            lacking -= len(own)
        return torch.cat(found) if found else torch.empty(0, dtype=torch.int64)
