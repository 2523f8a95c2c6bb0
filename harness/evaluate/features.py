"""Features of the evaluation view of images, from a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from harness.data.datasets import DataSet
from harness.data.images import Images
from harness.data.loader import normalise
from harness.model.encoder import Encoder
from harness.runtime.precision import Precision, autocast, widen
from harness.runtime.world import World

Layer = Literal["backbone", "output"]
BATCH = 500


@torch.no_grad()
def encode(encoder: Encoder, x: Tensor, layer: Layer, precision: Precision) -> Tensor:
    """Features of normalised images x (N, 3, H, W), float32: (N, feature_dim), or (N, dim).

    The caller has put the encoder into eval mode.
    """
    with autocast(precision, x.device):
        features: Tensor = (encoder.backbone if layer == "backbone" else encoder)(x)
    return widen(features)


def extract(
    encoder: Encoder,
    data: DataSet,
    images: Images,
    *,
    size: int,
    layer: Layer,
    precision: Precision,
    world: World,
    pausing: Callable[[], object] = lambda: None,
) -> Tensor:
    """Features of all `images` in order, with running statistics; float32, on every process.

    Each process encodes its consecutive part. The encoder's training mode is what it was
    afterwards.

    Args:
        pausing: called before each batch, equally often on every process; may raise.
    """
    each = -(-len(images) // world.size)
    mine = torch.arange(world.rank * each, (world.rank + 1) * each).clamp(max=len(images) - 1)
    training = encoder.training
    encoder.eval()
    try:
        parts = []
        for index in torch.split(mine, BATCH):
            pausing()
            x = images.load(index).center(size).to(world.device, non_blocking=True)
            parts.append(encode(encoder, normalise(x, data), layer, precision))
        return world.gather(torch.cat(parts))[: len(images)]
    finally:
        encoder.train(training)
