"""A method without negatives: a predictor of one view's embedding from the other's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.methods.mechanism import Mechanism
from harness.model.encoder import Encoder
from harness.recipe.schema import Recipe
from harness.runtime import keyed
from harness.runtime.world import World
from moco_outside.config import Agreement


class Agreeing(Mechanism):
    """-cos(predictor(z1), z2), where z2 receives no gradient, and the same with views changed."""

    def __init__(self, encoder: Encoder, dim: int, hidden: int, seed: int) -> None:
        super().__init__()
        self.query = encoder
        self.predictor = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        with torch.no_grad():
            for n, each in enumerate(self.predictor.parameters()):
                each.copy_(torch.randn(each.shape, generator=keyed.generator(seed, "own", n)) * 0.1)

    def forward(self, x1: Tensor, x2: Tensor, _index: Tensor, _step: int) -> tuple[Tensor, None]:
        z1, z2 = self.query(x1), self.query(x2)
        one = F.cosine_similarity(self.predictor(z1), z2.detach()).mean()
        other = F.cosine_similarity(self.predictor(z2), z1.detach()).mean()
        return -(one + other) / 2, None

    def follow(self) -> None: ...


def build(recipe: Recipe, encoder: Encoder, *, images: int, world: World) -> Agreeing:
    del images, world
    said = recipe.contrast
    assert isinstance(said, Agreement)
    return Agreeing(encoder, recipe.model.dim, said.hidden, recipe.seed)
