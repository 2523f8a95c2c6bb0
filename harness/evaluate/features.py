"""Features of the evaluation view of images, from a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from harness.data.datasets import DataSet
from harness.data.images import Images
from harness.data.loader import normalise
from harness.errors import HarnessError
from harness.model.encoder import Encoder
from harness.runtime.device_copy import moved
from harness.runtime.precision import Precision, autocast, widen
from harness.runtime.world import World

Layer = Literal["backbone", "output"]
BATCH = 500


class NotFinite(HarnessError):
    """Weights, features or logits are not finite, so there is no accuracy; which, and how many."""


class Kept:
    """Backbone features and embeddings of some images, from an extraction of more of them.

    Args:
        index: positions among the extracted images, int64 (n,), on the CPU.
    """

    def __init__(self, index: Tensor) -> None:
        self.index = index
        self._found: list[tuple[Tensor, Tensor]] = []

    def take(self, first: int, features: Tensor) -> None:
        """Keep what is wanted of consecutive images' `features` (m, d), the first at `first`."""
        of = self.index - first
        place = ((of >= 0) & (of < len(features))).nonzero()[:, 0]
        self._found.append((place, features[moved(of[place], features.device)]))

    def gathered(self, world: World) -> Tensor:
        """What was kept, (n, d) on every process; each row was taken on exactly one."""
        width = self._found[0][1].shape[1]
        rows = self._found[0][1].new_zeros(len(self.index), width)
        for place, features in self._found:
            rows[moved(place, rows.device)] = features
        self._found = []
        return world.sum(rows)


@torch.no_grad()
def encode(encoder: Encoder, x: Tensor, layer: Layer, precision: Precision) -> Tensor:
    """Features of normalised images x (N, 3, H, W), float32: (N, feature_dim), or (N, dim).

    The caller has put the encoder into eval mode.
    """
    with autocast(precision, x.device):
        features: Tensor = (encoder.backbone if layer == "backbone" else encoder)(x)
    return widen(features)


@torch.no_grad()
def encode_both(encoder: Encoder, x: Tensor, precision: Precision) -> tuple[Tensor, Tensor]:
    """As `encode`, of both layers in one pass: (N, feature_dim) and (N, dim)."""
    with autocast(precision, x.device):
        features = encoder.backbone(x)
        output = encoder.head(features)
    return widen(features), widen(output)


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
    kept: Kept | None = None,
) -> Tensor:
    """Features of all `images` in order, with running statistics; float32, on every process.

    Each process encodes its consecutive part. The encoder's training mode is restored afterwards.

    Args:
        pausing: called before each batch, equally often on every process; may raise.
        kept: receives both layers of some of the images, so that none is encoded twice.

    Raises:
        NotFinite: a weight or a feature is not finite; on all processes.
    """
    check_weights(encoder)
    each = -(-len(images) // world.size)
    mine = torch.arange(world.rank * each, (world.rank + 1) * each).clamp(max=len(images) - 1)
    training = encoder.training
    encoder.eval()
    try:
        parts = []
        for index in torch.split(mine, BATCH):
            pausing()
            x = images.load(index).center(size).to(world.device, non_blocking=True)
            x = normalise(x, data)
            if kept is None:
                parts.append(encode(encoder, x, layer, precision))
                continue
            first = world.rank * each + sum(map(len, parts))
            both = encode_both(encoder, x, precision)
            parts.append(both[layer == "output"])
            kept.take(first, torch.cat(both, dim=1)[: max(0, len(images) - first)])
        features = world.gather(torch.cat(parts))[: len(images)]
    finally:
        encoder.train(training)
    check_features(features, f"{precision} features ({layer})")
    return features


def check_weights(encoder: Encoder) -> None:
    """Refuse weights and running statistics that are not finite, even if the features are: e.g. a
    variance of inf makes a channel constant.

    Raises:
        NotFinite: names the first of them.
    """
    state = {k: v for k, v in encoder.state_dict().items() if isinstance(v, Tensor)}
    finite = torch.stack([torch.isfinite(tensor).all() for tensor in state.values()]).tolist()
    bad = [name for name, whole in zip(state, finite, strict=True) if not whole]
    if bad:
        raise NotFinite(f"{len(bad)} of {len(finite)} tensors were not finite, the first {bad[0]}")


def check_features(features: Tensor, called: str) -> None:
    """Refuse features (n, d) that are not finite or whose squares overflow. Each row's length shows
    both, without a temporary tensor of the features' size.

    Raises:
        NotFinite: says how many of the images have such features.
    """
    finite = torch.linalg.vector_norm(features, dim=1).isfinite()
    bad = len(features) - int(finite.sum())
    if bad:
        one = features[int(finite.int().argmin())]
        what = "too large to be compared" if bool(one.isfinite().all()) else "not finite"
        raise NotFinite(f"{called} of {bad} of {len(features)} images were {what}")
