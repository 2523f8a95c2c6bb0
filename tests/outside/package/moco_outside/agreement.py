"""A method without negatives: a predictor of a large view's embedding from the others'."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.methods.mechanism import Mechanism
from harness.model.encoder import Encoder
from harness.recipe.schema import Recipe
from harness.runtime import keyed
from harness.runtime.precision import Precision
from harness.runtime.world import World
from moco_outside.config import Agreement


class Agreeing(Mechanism):
    """-cos(predictor(z), large), the mean over each view's z and each other large view's embedding,
    which receives no gradient. The first two views are the large ones."""

    def __init__(
        self,
        encoder: Encoder,
        dim: int,
        hidden: int,
        *,
        seed: int,
        precision: Precision,
        world: World,
    ) -> None:
        super().__init__(encoder, seed=seed, precision=precision, world=world)
        self.predictor = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        with torch.no_grad():
            for n, each in enumerate(self.predictor.parameters()):
                each.copy_(torch.randn(each.shape, generator=keyed.generator(seed, "own", n)) * 0.1)

    def forward(self, views: Sequence[Tensor], _index: Tensor, _step: int) -> tuple[Tensor, None]:
        embedded = [self.embed(self.query, x) for x in views]  # each (n, C)
        terms = [
            F.cosine_similarity(self.predictor(z), large.detach()).mean()
            for n, z in enumerate(embedded)
            for m, large in enumerate(embedded[:2])
            if n != m
        ]
        return -torch.stack(terms).mean(), None

    def after_step(self) -> None: ...


def build(recipe: Recipe, encoder: Encoder, *, labels: Tensor, world: World) -> Agreeing:
    del labels
    said = recipe.contrast
    assert isinstance(said, Agreement)
    return Agreeing(
        encoder,
        recipe.model.dim,
        said.hidden,
        seed=recipe.seed,
        precision=recipe.precision,
        world=world,
    )
