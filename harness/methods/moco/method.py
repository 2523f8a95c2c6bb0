"""Momentum Contrast on one page (v1 Algorithm 1, Fig. 2c)."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from harness.methods import shuffle
from harness.methods.info_nce import info_nce
from harness.methods.mechanism import Mechanism
from harness.methods.moco.config import Moco
from harness.methods.moco.queue import Queue
from harness.model.encoder import Encoder
from harness.model.grouped_norm import forget_running_statistics
from harness.recipe.schema import Recipe
from harness.runtime.device_copy import moved
from harness.runtime.moving_average import MovingAverage
from harness.runtime.precision import Precision
from harness.runtime.world import World


class MoCo(Mechanism):
    """A trained query encoder, a key encoder that follows it, and a queue of past keys.

    `after_step` enqueues the keys, after the backward pass. So a query's own key is never among its
    negatives, and the queue need not be cloned.
    """

    def __init__(
        self,
        encoder: Encoder,
        contrast: Moco,
        *,
        dim: int,
        seed: int,
        precision: Precision,
        world: World,
    ) -> None:
        super().__init__(encoder, seed=seed, precision=precision, world=world)
        self.key = copy.deepcopy(encoder).requires_grad_(False)
        forget_running_statistics(self.key)  # they are never read
        self.average = MovingAverage(self.key, self.query)
        self.queue = Queue(contrast.queue, dim, seed)
        self.momentum = contrast.momentum
        self.temperature = contrast.temperature
        self.shuffle = contrast.shuffle
        self.symmetric = contrast.symmetric
        self._fresh: list[Tensor] = []

    def forward(self, views: Sequence[Tensor], _index: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """InfoNCE of queries from x1 and keys from x2; see Mechanism.forward."""
        x1, x2 = views  # each (n, 3, S, S)
        loss, correct, k2 = self._term(x1, x2, step, 1)
        self._fresh = [k2]
        if self.symmetric:  # the demo adds the two terms and enqueues both views' keys
            other, more, k1 = self._term(x2, x1, step, 0)
            loss, correct = loss + other, (correct + more) / 2
            self._fresh = [k1, k2]
        return loss, correct

    def _term(
        self, queries: Tensor, keys: Tensor, step: int, view: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss and number of correct queries of the n local ones, and the N keys of the global
        batch."""
        q = self.embed(self.query, queries)  # (n, C)
        k = self._encode_keys(keys, step, view)  # (N, C), no gradient
        mine = self.world.share(k)  # (n, C)
        return *info_nce(q, mine, self.queue.keys, self.temperature), k

    @torch.no_grad()
    def _encode_keys(self, x: Tensor, step: int, view: int) -> Tensor:
        """Keys of the global batch, (N, C); normalised with batch statistics, as in training.

        Each image moves to the process of its shuffled position. One gather then brings all keys to
        all processes; it serves both to restore their order and to enqueue them.
        """
        total = len(x) * self.world.size
        there, back = shuffle.order(self.seed, step, total, view)
        if self.shuffle:
            x = self.world.exchange(x, there)
        k = self.world.gather(self.embed(self.key, x))
        return k[moved(back, k.device)] if self.shuffle else k

    def dictionary(self) -> Tensor:
        """The queue's keys."""
        return self.queue.keys

    @torch.no_grad()
    def after_step(self) -> None:
        """key <- m key + (1 - m) query (v1 Eq. 2), then enqueue."""
        assert self._fresh, "after_step() without a forward pass"
        self.average.step(self.momentum)
        self.queue.enqueue(torch.cat(self._fresh))
        self._fresh = []


def build(recipe: Recipe, encoder: Encoder, *, labels: Tensor, world: World) -> MoCo:
    """MoCo as the recipe describes it, on an encoder with its initial weights."""
    del labels
    assert isinstance(recipe.contrast, Moco)
    return MoCo(
        encoder,
        recipe.contrast,
        dim=recipe.model.dim,
        seed=recipe.seed,
        precision=recipe.precision,
        world=world,
    )
