"""The end-to-end mechanism on one page (v1 Fig. 2a): the batch is the dictionary.

Both encoders receive gradients. No public code of this baseline exists; v1 Sec. 3.2, 3.3 and 4.1
define it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.methods import shuffle
from harness.methods.end_to_end.config import EndToEnd
from harness.methods.mechanism import Mechanism
from harness.model.encoder import Encoder
from harness.recipe.schema import Recipe
from harness.runtime.device_copy import moved
from harness.runtime.precision import Precision, autocast, widen
from harness.runtime.world import World


class EndToEndContrast(Mechanism):
    """Queries from view 1, keys from view 2; the negatives are the other images' N - 1 keys.

    The gradient flows into both encoders, through the shuffle and across processes.
    """

    def __init__(
        self, encoder: Encoder, contrast: EndToEnd, *, seed: int, precision: Precision, world: World
    ) -> None:
        super().__init__(encoder, seed=seed, precision=precision, world=world)
        self.key = encoder if contrast.shared else copy.deepcopy(encoder)
        self.temperature = contrast.temperature
        self.shuffle = contrast.shuffle

    def forward(self, views: Sequence[Tensor], _index: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """InfoNCE over the keys of the global batch; see Mechanism.forward."""
        x1, x2 = views  # each (n, 3, S, S)
        there, back = shuffle.order(self.seed, step, len(x2) * self.world.size)
        if self.shuffle:
            x2 = self.world.exchange(x2, there)
        with autocast(self.precision, x1.device):
            q, k = self.query(x1), self.key(x2)
        q = F.normalize(widen(q), dim=1)  # (n, C)
        k = self.world.gather_with_gradient(F.normalize(widen(k), dim=1))  # (N, C)
        if self.shuffle:
            k = k[moved(back, k.device)]
        logits = q @ k.T / self.temperature  # (n, N); the positive is the query's own position
        own = self.world.share(torch.arange(len(k), device=k.device))
        correct = (logits.detach().argmax(1) == own).sum()
        return F.cross_entropy(logits, own), correct

    def after_step(self) -> None:
        """Does nothing: the optimiser updates both encoders."""


def build(recipe: Recipe, encoder: Encoder, *, labels: Tensor, world: World) -> EndToEndContrast:
    """The mechanism that the recipe describes, on an encoder with its initial weights."""
    del labels
    assert isinstance(recipe.contrast, EndToEnd)
    return EndToEndContrast(
        encoder, recipe.contrast, seed=recipe.seed, precision=recipe.precision, world=world
    )
