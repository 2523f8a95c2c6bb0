"""Supervised classification on one page: the labels' cross-entropy, with no negatives.

It is no contrastive method. Tables have a supervised row, and this one shares everything else with
the other rows: backbone, data, augmentation, schedule, batch-norm groups and code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from harness.errors import DataError
from harness.methods.mechanism import Mechanism
from harness.methods.supervised.config import Supervised
from harness.model.encoder import Encoder
from harness.recipe.schema import Recipe
from harness.runtime.device_copy import moved
from harness.runtime.precision import Precision, autocast, widen
from harness.runtime.world import World


class Classification(Mechanism):
    """One encoder, one view; the head's outputs are the logits of the classes.

    Args:
        labels: int64 (images,), from 0; dim: outputs of the encoder's head.

    Raises:
        DataError: an image has no label, or `dim` is not the number of classes.
    """

    def __init__(
        self,
        encoder: Encoder,
        contrast: Supervised,
        *,
        labels: Tensor,
        dim: int,
        seed: int,
        precision: Precision,
        world: World,
    ) -> None:
        super().__init__(encoder, seed=seed, precision=precision, world=world)
        if int(labels.min()) < 0:
            raise DataError(
                "contrast.kind: supervised needs a label for every training image, and "
                f"{int((labels < 0).sum()):,} of {len(labels):,} have none; take a method that "
                "needs no labels, or other data"
            )
        if dim != (classes := int(labels.max()) + 1):
            raise DataError(
                f"model.dim: {dim}, but the data has {classes} classes; write model.dim: {classes}"
            )
        self.labels = labels
        self.smoothing = contrast.smoothing

    def forward(self, views: Sequence[Tensor], index: Tensor, _step: int) -> tuple[Tensor, Tensor]:
        """The cross-entropy of the one view, and how many images get their own label's class the
        highest logit; see Mechanism.forward."""
        (x,) = views  # (n, 3, S, S)
        labels = moved(self.labels[index.to(self.labels.device)], x.device)  # (n,)
        with autocast(self.precision, x.device):
            made = self.query(x)
        logits = widen(made)  # (n, classes)
        correct = (logits.detach().argmax(1) == labels).sum()
        return F.cross_entropy(logits, labels, label_smoothing=self.smoothing), correct

    def after_step(self) -> None:
        """Does nothing: there is one encoder, and the optimiser updates it."""


def build(recipe: Recipe, encoder: Encoder, *, labels: Tensor, world: World) -> Classification:
    """The mechanism that the recipe describes, on an encoder with its initial weights."""
    assert isinstance(recipe.contrast, Supervised)
    return Classification(
        encoder,
        recipe.contrast,
        labels=labels,
        dim=recipe.model.dim,
        seed=recipe.seed,
        precision=recipe.precision,
        world=world,
    )
