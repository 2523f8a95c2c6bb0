"""Mechanism: what the training loop calls; the base of the three mechanisms in v1's Figure 2."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from harness.model.encoder import Encoder
from harness.runtime.merged import Merged
from harness.runtime.moving_average import MovingAverage
from harness.runtime.precision import Precision, autocast, widen
from harness.runtime.world import World


class Mechanism(nn.Module, ABC):
    """One training step is: loss, correct = mechanism(views, index, step); loss.backward(); the
    optimiser's step over the parameters that require a gradient; mechanism.after_step().

    `query` is the encoder that is evaluated later. Every process calls with its consecutive share
    of the global batch and gets the mean loss over that share. Averaging the gradients over
    processes therefore gives the gradient of the global mean.
    """

    def __init__(self, encoder: Encoder, *, seed: int, precision: Precision, world: World) -> None:
        super().__init__()
        self.query = encoder
        self.seed = seed
        self.precision: Precision = precision
        self.world = world

    @abstractmethod
    def forward(
        self, views: Sequence[Tensor], index: Tensor, step: int
    ) -> tuple[Tensor, Tensor | None]:
        """The loss of views, each (n, 3, S, S), of the images `index`, int64 (n,).

        Args:
            views: of the kinds that the method's section names, in that order.

        Returns:
            loss: scalar, in nats, mean over n.
            correct: scalar, how many of the n queries are closest to their positive; None for a
                method without negatives.
        """

    def embed(self, encoder: nn.Module, x: Tensor) -> Tensor:
        """Embeddings of x, L2-normalised: (n, C), float32 at every precision of the encoder."""
        with autocast(self.precision, x.device):
            made = encoder(x)
        return F.normalize(widen(made), dim=1)

    def dictionary(self) -> Tensor | None:
        """The stored keys (K, C) that queries are compared with, unit rows; None: it stores none,
        e.g. because a batch's other images are the negatives."""
        return None

    def merge(self) -> Merged:
        """Merge the parameters that require a gradient into one tensor, and return them. Call it
        once this module is on its device and in its layout. The moving averages, attributes of
        this module, become operations on one tensor too."""
        learning = Merged(p for p in self.parameters() if p.requires_grad)
        for own in vars(self).values():
            if isinstance(own, MovingAverage):
                own.merge(learning)
        return learning

    @abstractmethod
    def after_step(self) -> None:
        """Update what follows the query encoder; called after the optimiser's step."""
