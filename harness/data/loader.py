"""Batches as a function of the step: which images, and the two views that are drawn of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.augment import constant, finish
from harness.data.datasets import DataSet
from harness.data.images import Images, Loaded, Stack
from harness.data.parameters import Parameters, draw, joined
from harness.errors import DataError
from harness.recipe.schema import Augment
from harness.runtime import keyed
from harness.runtime.cores import helpers
from harness.runtime.moving import moved

AHEAD = 3
"""Batches that are being decoded while a step computes (files only)."""


AT_ONCE = 3 * 2**20
"""Numbers in the views that are made at once of images in memory (1,024 views of 32 pixels, 12 MB):
of a small batch by itself most of the time would go into starting operations."""


def normalise(x: Tensor, data: DataSet) -> Tensor:
    """(x - mean) / std of the data set, per channel; x is float32 (n, 3, H, W) in [0, 1]."""
    mean, std = (constant(values, x.device).view(3, 1, 1) for values in (data.mean, data.std))
    return (x - mean) / std


@dataclass(frozen=True)
class Batch:
    """Views (n, 3, size, size), float32, normalised; index int64 (n,) into the images.

    `total` is the global batch's number of images, without those that fill it up.
    """

    views: tuple[Tensor, ...]
    index: Tensor
    total: int

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        """The two views that a mechanism takes; of a single view, that one twice."""
        return self.views[0], self.views[-1]


@dataclass(frozen=True)
class Share:
    """What a process sees in a step of `epoch`: its images int64 (n,), of `total` over all
    processes, without those that fill up."""

    epoch: int
    index: Tensor
    total: int


@dataclass(frozen=True)
class Cut:
    """The crops of some steps, all views of one after all of the other; no colours yet."""

    shares: tuple[Share, ...]
    crops: Tensor
    """(views times images, 3, size, size), float32 in [0, 1] or uint8."""
    drawn: Parameters


class Loader:
    """The batches of a training run. Step s (from 0) always yields the same batch.

    Args:
        images: what to draw from; an epoch is a permutation of them, its last smaller batch left
            out if `drop_last`.
        policy: the augmentation; each of the `views` views is an independent draw.
        share: (rank, size): this process gets its consecutive part of each global batch; where a
            batch has no equal parts, the last ones are filled up with its last image.
        stream: names the run's randomness, e.g. (seed, "pretrain").

    Raises:
        DataError: there are fewer images than one batch.
    """

    def __init__(
        self,
        data: DataSet,
        images: Images,
        policy: Augment,
        *,
        stream: tuple[int | str, ...],
        batch: int,
        size: int,
        device: torch.device,
        views: int = 2,
        drop_last: bool = True,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        if batch > len(images) and drop_last:
            raise DataError(
                f"optim.batch: {batch} images per step, but {data.name} has {len(images)}"
            )
        self.data, self.images, self.policy = data, images, policy
        self.stream, self.batch, self.size = stream, batch, size
        self.device, self.views, self.share = device, views, share
        self.steps_per_epoch = len(images) // batch if drop_last else -(-len(images) // batch)
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def indices(self, step: int) -> Tensor:
        """Which images step `step` sees over all processes, int64 (N,), on the CPU."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            key = keyed.key(*self.stream, "order", epoch)
            self._order = (epoch, keyed.permutation(key, len(self.images)))
        return self._order[1][position * self.batch : (position + 1) * self.batch]

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """The batches of steps first to last - 1; files are decoded ahead of their step."""
        if isinstance(self.images, Stack):
            step = first
            while step < last:
                block = self.block(step)
                made = self.views_of(self._cut([self.share_of(s) for s in block]))
                yield from made[step - block.start : last - block.start]
                step = block.stop
            return
        with helpers(1, "ahead") as pool:
            pending: list[Future[Cut]] = []
            try:
                for step in range(first, last):
                    while len(pending) < AHEAD and (coming := step + len(pending)) < last:
                        pending.append(pool.submit(self._cut, [self.share_of(coming)]))
                    yield from self.views_of(pending.pop(0).result())
            finally:
                for waiting in pending:
                    waiting.cancel()

    def block(self, step: int) -> range:
        """The steps around `step` whose views are made at once.

        It begins at a multiple of its length in its epoch, wherever a run goes on, as the company
        that a view is made in may be worth its last bit.
        """
        each = self.views * -(-self.batch // self.share[1]) * 3 * self.size**2
        length = max(1, AT_ONCE // each)
        epoch, position = divmod(step, self.steps_per_epoch)
        start = epoch * self.steps_per_epoch + position - position % length
        return range(start, min(start + length, (epoch + 1) * self.steps_per_epoch))

    def share_of(self, step: int) -> Share:
        """This process's part of a step; the last parts may be filled up with its last image."""
        rank, size = self.share
        index = self.indices(step)
        each = -(-len(index) // size)
        filled = torch.cat([index, index[-1:].expand(each * size - len(index))])
        own = filled[rank * each : (rank + 1) * each]
        return Share(step // self.steps_per_epoch, own, len(index))

    def _cut(self, shares: Sequence[Share]) -> Cut:
        return self.cut(shares, self.images.load(torch.cat([each.index for each in shares])))

    def cut(self, shares: Sequence[Share], loaded: Loaded) -> Cut:
        """The crops of some steps of one epoch, whose images were `loaded` one step after the
        other."""
        every = torch.cat([each.index for each in shares])
        keys = [
            keyed.key(*self.stream, "augment", shares[0].epoch, view) for view in range(self.views)
        ]
        drawn = [draw(self.policy, key, every, loaded.sizes) for key in keys]
        crops = torch.cat([loaded.crop(view.crop, self.size) for view in drawn])
        if self.device.type == "cuda" and crops.device.type == "cpu":
            crops = crops.pin_memory()  # else the copy would wait for what the GPU has to do
        return Cut(tuple(shares), crops, joined(drawn))

    def views_of(self, cut: Cut) -> list[Batch]:
        """The batches of the steps that were cut."""
        x = moved(cut.crops, self.device)
        if x.dtype == torch.uint8:  # a quarter of the way to the device
            x = x.float().div_(255)
        x = normalise(finish(x, cut.drawn, self.policy), self.data)
        sizes = [len(each.index) for each in cut.shares]
        views = zip(*(torch.split(view, sizes) for view in x.chunk(self.views)), strict=True)
        return [
            Batch(of, each.index, each.total) for of, each in zip(views, cut.shares, strict=True)
        ]
