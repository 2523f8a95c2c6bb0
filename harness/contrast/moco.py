"""Momentum Contrast on one page (v1 Algorithm 1, Fig. 2c)."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.contrast import shuffle
from harness.contrast.info_nce import info_nce
from harness.contrast.queue import Queue
from harness.model.encoder import Encoder
from harness.recipe.schema import Contrast
from harness.runtime.precision import Precision, autocast, widen


class MoCo(nn.Module):
    """A query encoder that learns, a key encoder that follows it, and a queue of past keys.

    A step is: loss = moco(x1, x2, step); loss.backward(); the optimiser's step over
    `moco.query`; moco.follow(). The keys enter the queue in `follow`, after the backward pass, so
    that a query's own key is never among its negatives and the queue need not be cloned.
    """

    def __init__(
        self, encoder: Encoder, contrast: Contrast, *, dim: int, seed: int, precision: Precision
    ) -> None:
        super().__init__()
        self.query = encoder
        self.key = copy.deepcopy(encoder).requires_grad_(False)
        self.queue = Queue(contrast.queue, dim, seed)
        self.momentum = contrast.momentum
        self.temperature = contrast.temperature
        self.shuffle = contrast.shuffle
        self.seed = seed
        self.precision: Precision = precision
        self._fresh: Tensor | None = None

    def forward(self, x1: Tensor, x2: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """InfoNCE of views x1 (queries) and x2 (keys), each (N, 3, H, W): (loss, hits)."""
        with autocast(self.precision, x1.device):
            q = self.query(x1)
        q = F.normalize(widen(q), dim=1)  # (N, C)
        k = self._encode_keys(x2, step)  # (N, C), no gradient
        self._fresh = k
        return info_nce(q, k, self.queue.keys, self.temperature)

    @torch.no_grad()
    def _encode_keys(self, x: Tensor, step: int) -> Tensor:
        """The key encoder normalises with batch statistics, as it trains with the query's."""
        back: Tensor | None = None
        if self.shuffle:
            there, back = (t.to(x.device) for t in shuffle.order(self.seed, step, len(x)))
            x = x[there]
        with autocast(self.precision, x.device):
            k = self.key(x)
        k = F.normalize(widen(k), dim=1)
        return k if back is None else k[back]

    @torch.no_grad()
    def follow(self) -> None:
        """After the optimiser's step: key <- m key + (1 - m) query (v1 Eq. 2), then enqueue.

        Parameters only: the key encoder's running statistics are its own and never read.
        """
        assert self._fresh is not None, "follow() without a forward pass"
        torch._foreach_lerp_(
            list(self.key.parameters()), list(self.query.parameters()), 1 - self.momentum
        )
        self.queue.enqueue(self._fresh)
        self._fresh = None
