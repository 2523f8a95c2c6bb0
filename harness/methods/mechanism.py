"""What the three mechanisms of v1's Figure 2 have in common, seen from the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from harness.model.encoder import Encoder
from harness.runtime.merged import Merged


class Mechanism(nn.Module, ABC):
    """A step is: loss, hits = mechanism(x1, x2, index, step); loss.backward(); the optimiser's
    step over the parameters that require a gradient; mechanism.follow().

    `query` is the encoder that is evaluated afterwards. Every process calls with its consecutive
    share of the global batch and gets the mean loss over that share, so that averaging gradients
    over processes gives the gradient of the global mean.
    """

    query: Encoder

    @abstractmethod
    def forward(
        self, x1: Tensor, x2: Tensor, index: Tensor, step: int
    ) -> tuple[Tensor, Tensor | None]:
        """The loss of two views (n, 3, H, W) of the images `index`, int64 (n,).

        Returns:
            loss: scalar, in nats, mean over n.
            hits: scalar, how many of the n queries are nearest to their positive; None of a method
                without negatives.
        """

    def merge(self) -> Merged:
        """Move the parameters that require a gradient into one tensor, and return them; to be
        called once this module is on its device and in its layout."""
        return Merged(p for p in self.parameters() if p.requires_grad)

    @abstractmethod
    def follow(self) -> None:
        """After the optimiser's step: whatever follows the query encoder."""
