"""An encoder: a backbone whose features are evaluated, and a head that only pre-training uses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.model.backbones import backbone
from harness.model.grouped_norm import GroupedBatchNorm2d
from harness.model.running_statistics import Running
from harness.recipe.schema import Model
from harness.runtime import keyed


class Encoder(nn.Module):
    """Images (N, 3, H, W) to embeddings (N, dim), not yet normalised."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.backbone = backbone(model)
        width = self.feature_dim = self.backbone.feature_dim
        self.head: nn.Module = nn.Linear(width, model.dim)
        if model.head == "mlp":  # v2 Sec. 3: two layers, ReLU, the hidden one as wide as the input
            self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), self.head)
        self._running = Running()
        for norm in self.modules():
            if isinstance(norm, GroupedBatchNorm2d):
                norm.running = self._running

    def forward(self, x: Tensor) -> Tensor:
        with self._running:
            return self.head(self.backbone(x))  # type: ignore[no-any-return]


def build(model: Model, seed: int) -> Encoder:
    """The recipe's encoder with its initial weights, a function of `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed.key(seed, "weights") & ((1 << 63) - 1))
        return Encoder(model)
