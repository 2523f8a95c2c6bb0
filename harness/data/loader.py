"""Batches as a function of the step: which images, and the views drawn of each."""

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
from harness.recipe.schema import View
from harness.runtime import keyed
from harness.runtime.cores import helpers
from harness.runtime.device_copy import moved

AHEAD = 3
"""Batches that are decoded ahead while a step computes (files only)."""


AT_ONCE = 3 * 2**20
"""Numbers in the views that are made at once of images in memory (1,024 views of 32 pixels, 12 MB).
A single small batch would spend most of its time on starting operations."""


def normalise(x: Tensor, data: DataSet) -> Tensor:
    """(x - mean) / std of the data set, per channel; x is float32 (n, 3, H, W) in [0, 1]."""
    mean, std = (constant(values, x.device).view(3, 1, 1) for values in (data.mean, data.std))
    return (x - mean) / std


@dataclass(frozen=True)
class Batch:
    """Views (n, 3, S, S), float32, normalised, each of its kind's size S; index int64 (n,) into the
    images.

    `total` is the number of images in the global batch, without padding.
    """

    views: tuple[Tensor, ...]
    index: Tensor
    total: int


@dataclass(frozen=True)
class Share:
    """A process's part of a step of `epoch`: its images, int64 (n,); `total` is the number over all
    processes, without padding."""

    epoch: int
    index: Tensor
    total: int


@dataclass(frozen=True)
class Cut:
    """The crops of some steps, by kind of view; no colours yet."""

    shares: tuple[Share, ...]
    crops: tuple[Tensor, ...]
    """For each kind (views times images, 3, S, S), float32 in [0, 1] or uint8; all images of one
    view, then all images of the next."""
    drawn: tuple[Parameters, ...]


class Loader:
    """The batches of a training run. Step s (from 0) always yields the same batch.

    Args:
        images: what to draw from; an epoch is a permutation of them, without its last smaller
            batch if `drop_last`.
        views: how each view of an image is drawn, independently of the others. Views with the same
            policy are made together.
        share: (rank, size): this process gets its consecutive part of each global batch. If a batch
            has no equal parts, its last image pads the last ones.
        stream: names the run's randomness, e.g. (seed, "pretrain").

    Raises:
        DataError: there are fewer images than one batch.
    """

    def __init__(
        self,
        data: DataSet,
        images: Images,
        views: Sequence[View],
        *,
        stream: tuple[int | str, ...],
        batch: int,
        device: torch.device,
        drop_last: bool = True,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        if batch > len(images) and drop_last:
            raise DataError(
                f"optim.batch: {batch} images per step, but {data.name} has {len(images)}"
            )
        self.data, self.images, self.views = data, images, tuple(views)
        self.stream, self.batch, self.device, self.share = stream, batch, device, share
        self._kinds: dict[View, list[int]] = {}  # and the positions of their views in a batch
        for place, kind in enumerate(self.views):
            self._kinds.setdefault(kind, []).append(place)
        self.steps_per_epoch = len(images) // batch if drop_last else -(-len(images) // batch)
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def indices(self, step: int) -> Tensor:
        """The images of step `step` over all processes, int64 (N,), on the CPU."""
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

        A block starts at a multiple of its length in its epoch. Batching changes the last bit of a
        view, so block boundaries must not depend on where a run resumes.
        """
        numbers = sum(3 * view.size**2 for view in self.views)
        each = numbers * -(-self.batch // self.share[1])
        length = max(1, AT_ONCE // each)
        epoch, position = divmod(step, self.steps_per_epoch)
        start = epoch * self.steps_per_epoch + position - position % length
        return range(start, min(start + length, (epoch + 1) * self.steps_per_epoch))

    def share_of(self, step: int) -> Share:
        """This process's part of a step; the batch's last image may pad it."""
        rank, size = self.share
        index = self.indices(step)
        each = -(-len(index) // size)
        filled = torch.cat([index, index[-1:].expand(each * size - len(index))])
        own = filled[rank * each : (rank + 1) * each]
        return Share(step // self.steps_per_epoch, own, len(index))

    def _cut(self, shares: Sequence[Share]) -> Cut:
        return self.cut(shares, self.images.load(torch.cat([each.index for each in shares])))

    def cut(self, shares: Sequence[Share], loaded: Loaded) -> Cut:
        """The crops of some steps of one epoch; `loaded` holds their images, step after step."""
        every = torch.cat([each.index for each in shares])
        found: list[tuple[Tensor, Parameters]] = []
        for kind, places in self._kinds.items():
            keys = [keyed.key(*self.stream, "augment", shares[0].epoch, view) for view in places]
            drawn = [draw(kind, key, every, loaded.sizes) for key in keys]
            crops = torch.cat([loaded.crop(view.crop, kind.size) for view in drawn])
            if self.device.type == "cuda" and crops.device.type == "cpu":
                crops = crops.pin_memory()  # else the copy would wait for the GPU's queued work
            found.append((crops, joined(drawn)))
        return Cut(tuple(shares), *zip(*found, strict=True))

    def views_of(self, cut: Cut) -> list[Batch]:
        """The batches of the steps in `cut`."""
        made: dict[int, Tensor] = {}
        kinds = zip(self._kinds.items(), cut.crops, cut.drawn, strict=True)
        for (kind, places), crops, drawn in kinds:
            x = moved(crops, self.device)
            if x.dtype == torch.uint8:  # a quarter of the bytes to copy to the device
                x = x.float().div_(255)
            x = normalise(finish(x, drawn, kind), self.data)
            made.update(zip(places, x.chunk(len(places)), strict=True))
        sizes = [len(each.index) for each in cut.shares]
        views = zip(*(torch.split(made[n], sizes) for n in range(len(made))), strict=True)
        return [
            Batch(of, each.index, each.total) for of, each in zip(views, cut.shares, strict=True)
        ]
