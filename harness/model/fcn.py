"""Semantic segmentation: FCN-16s on a pre-trained backbone (MoCo v1, Appendix A)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.errors import DataError
from harness.model.backbones import Miniature, backbone, dilate
from harness.model.grouped_norm import GroupedBatchNorm2d
from harness.model.networks import some
from harness.model.running_statistics import Running
from harness.recipe.schema import Model
from harness.runtime import keyed

WIDTH, DILATION = 256, 6
"""Channels and dilation of the two extra convolutions (v1 Appendix A)."""

MINIATURE_DILATION = 2
"""The miniature's own form. Its map of a 48-pixel scene is 12 cells wide: dilation 6 would read
mostly padding. The convolutions are as wide as its features, and its blocks keep their strides (4
in all)."""


class FCN(nn.Module):
    """FCN-16s: a backbone whose last stage is dilated, two 3x3 convolutions, a 1x1 classifier.

    All 3x3 convolutions of a ResNet's last stage have stride 1 and dilation 2, so its map has
    stride 16 (4 with the CIFAR stem). torchvision's `replace_stride_with_dilation` leaves the first
    block's dilation at 1.

    Cell i of the map lies on pixel i * stride. Sides of k * stride + 1 pixels (513 and 769 in the
    paper, as in DeepLab's code) are therefore covered exactly by a bilinear resize that aligns the
    corners. Other sides are padded to such a length on the right and below, with zeros as the
    convolutions pad, and the scores are cut back.

    The backbone begins as it is drawn for pre-training. The paper does not say how the rest begins:
    here the 3x3 convolutions as ResNet's (normal, by fan-out), the classifier from N(0, 0.01), its
    biases at zero.

    Args:
        model: the backbone, its width and whose running statistics its norms follow.
        classes: channels of the output.
        group: images over which each norm takes its statistics: the whole batch of a step.
    """

    def __init__(self, model: Model, classes: int, group: int) -> None:
        super().__init__()
        self.backbone = backbone(model.model_copy(update={"bn_group": group}))
        features = self.backbone.feature_dim
        width, dilation = WIDTH, DILATION
        if isinstance(self.backbone, Miniature):
            width, dilation = features, MINIATURE_DILATION
            self.stride = 4
        else:
            dilate(self.backbone)
            self.stride = 4 if model.backbone.endswith("_cifar") else 16
        norm = partial(GroupedBatchNorm2d, group=group, running_stats=model.running_stats)
        self.head = nn.Sequential(
            nn.Conv2d(features, width, 3, padding=dilation, dilation=dilation, bias=False),
            norm(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False),
            norm(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, classes, 1),
        )
        for module in self.head:
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)
        self._running = Running()
        for module in self.modules():
            if isinstance(module, GroupedBatchNorm2d):
                module.running = self._running

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, classes, H, W) of normalised images (N, 3, H, W), on any side lengths."""
        height, width = x.shape[2:]
        tall, wide = (self.stride * -(-(side - 1) // self.stride) + 1 for side in (height, width))
        with self._running:
            padded = F.pad(x, (0, wide - width, 0, tall - height))
            scores = self.head(self.backbone.feature_map(padded))
        exact = F.interpolate(scores, (tall, wide), mode="bilinear", align_corners=True)
        return exact[:, :, :height, :width]


def build_fcn(model: Model, classes: int, group: int, *stream: int | str) -> FCN:
    """An FCN with initial weights that are a function of `stream`, e.g. (seed, "trial", 0)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed.key(*stream, "weights") & ((1 << 63) - 1))
        return FCN(model, classes, group)


class OnBackbone(Protocol):
    """A network with a pre-trained part: an FCN, or a detector."""

    @property
    def backbone(self) -> nn.Module: ...


def load_backbone(network: OnBackbone, weights: Mapping[str, Tensor], where: str) -> None:
    """Load a pre-trained backbone, all of it and nothing else.

    Args:
        weights: by the backbone's own names, e.g. "layer1.0.conv1.weight"; no head's.
        where: where they come from, for messages.

    Raises:
        DataError: names are missing or left over, or shapes differ; nothing is loaded then. A
            backbone of which a part stays random would look like a poor pre-training.
    """
    own = network.backbone.state_dict()
    differ = [n for n, each in own.items() if n in weights and weights[n].shape != each.shape]
    found = {
        "missing": [name for name in own if name not in weights],
        "not in the network": [name for name in weights if name not in own],
        "of another shape": differ,
    }
    wrong = [f"{len(names)} {kind} ({some(names)})" for kind, names in found.items() if names]
    if wrong:
        raise DataError(
            f"{where}: not the weights of the backbone that the recipe gives: tensors "
            f"{', '.join(wrong)}; set model.backbone and model.width to those of the pre-training"
        )
    network.backbone.load_state_dict(dict(weights))
