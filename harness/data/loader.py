"""Batches as a function of the step: which images, and the two views that are drawn of each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.augment import finish
from harness.data.datasets import DataSet
from harness.data.images import Images, Loaded, Stack
from harness.data.parameters import draw
from harness.errors import DataError
from harness.recipe.schema import Augment
from harness.runtime import keyed

AHEAD = 3
"""Batches that are being decoded while a step computes (files only)."""


def normalise(x: Tensor, data: DataSet) -> Tensor:
    """(x - mean) / std of the data set, per channel; x is float32 (n, 3, H, W) in [0, 1]."""
    mean = torch.tensor(data.mean, device=x.device).view(3, 1, 1)
    std = torch.tensor(data.std, device=x.device).view(3, 1, 1)
    return (x - mean) / std


@dataclass(frozen=True)
class Batch:
    """Views (n, 3, size, size), float32, normalised; index int64 (n,) into the images.

    `total` is the global batch's number of images, without those that fill it up.
    """

    views: tuple[Tensor, ...]
    index: Tensor
    total: int


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
            raise DataError(f"{data.name}: a batch of {batch} images, but there are {len(images)}")
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
            for step in range(first, last):
                index = self._mine(step)
                yield self.views_of(step, index, self.images.load(index))
            return
        with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
            pending: list[tuple[Tensor, Future[Loaded]]] = []
            try:
                for step in range(first, last):
                    while len(pending) < AHEAD and step + len(pending) < last:
                        index = self._mine(step + len(pending))
                        pending.append((index, pool.submit(self.images.load, index)))
                    index, loaded = pending.pop(0)
                    yield self.views_of(step, index, loaded.result())
            finally:
                for _, waiting in pending:
                    waiting.cancel()

    def _mine(self, step: int) -> Tensor:
        rank, size = self.share
        index = self.indices(step)
        each = -(-len(index) // size)
        index = torch.cat([index, index[-1:].expand(each * size - len(index))])
        return index[rank * each : (rank + 1) * each]

    def views_of(self, step: int, index: Tensor, loaded: Loaded) -> Batch:
        """The batch of the images `index` int64 (n,), which were `loaded` for this step."""
        epoch = step // self.steps_per_epoch
        made = []
        for view in range(self.views):
            key = keyed.key(*self.stream, "augment", epoch, view)
            drawn = draw(self.policy, key, index, loaded.sizes)
            x = loaded.crop(drawn.crop, self.size).to(self.device, non_blocking=True)
            x = finish(x, drawn, self.policy)
            made.append(normalise(x, self.data))
        return Batch(tuple(made), index, len(self.indices(step)))
