"""What proposals and boxes are read from: C4, dilated C5, or a feature pyramid.

A neck has `channels` and `strides` of its levels, `depth`, the number of the backbone's stages that
it needs, and `divisor`, of which padded sides are multiples.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from harness.model.backbones import Miniature, Residual, dilate
from harness.model.detection.pad_groups import Groups, PadGroupNorm, run, stages
from harness.model.grouped_norm import GroupedBatchNorm2d


def strides(backbone: Miniature | Residual) -> list[int]:
    """Pixels between neighbouring cells behind each stage."""
    if isinstance(backbone, Miniature):
        return [2**n for n in range(len(backbone.blocks))]
    first = 1 if isinstance(backbone.maxpool, nn.Identity) else 4
    return [first * 2**n for n in range(4)]


def widths(backbone: Miniature | Residual) -> list[int]:
    """Channels behind each stage."""
    norms = [
        [m for m in stage.modules() if isinstance(m, GroupedBatchNorm2d)]
        for stage in stages(backbone)
    ]
    return [max(m.num_features for m in own) for own in norms]


class C4(nn.Module):
    """The map before the last stage, which the box head applies to each proposal."""

    def __init__(self, backbone: Miniature | Residual) -> None:
        super().__init__()
        self.depth = len(stages(backbone)) - 1
        self.channels = widths(backbone)[-2]
        self.strides = (strides(backbone)[-2],)
        self.divisor = 1

    def forward(self, maps: list[Groups]) -> list[Groups]:
        return [maps[-1]]


class DilatedC5(nn.Module):
    """The last stage's map with the stride of the one before: its 3x3 convolutions are dilated.

    Args:
        backbone: its last stage is changed: stride 1, and dilation 2 in every block. torchvision
            leaves the first block's dilation at 1.
        width: of a 3x3 convolution with a norm behind it (512 in MoCo v1, Appendix A, which does
            not say whether a ReLU follows: here one does); None: without, as in detectron2.
    """

    def __init__(self, backbone: Residual, width: int | None) -> None:
        super().__init__()
        dilate(backbone)
        self.depth = 4
        self.channels = width or widths(backbone)[-1]
        self.strides = (strides(backbone)[-2],)
        self.divisor = 1
        self.reduce: nn.Module = nn.Identity()
        if width:
            convolution = nn.Conv2d(widths(backbone)[-1], width, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            self.reduce = nn.Sequential(convolution, PadGroupNorm(width, group=1), nn.ReLU())

    def forward(self, maps: list[Groups]) -> list[Groups]:
        return [run(self.reduce, maps[-1])]


class Pyramid(nn.Module):
    """FPN: every stage's map, with what the deeper ones know added; and one of twice the stride.

    With norms, as MoCo has them, its convolutions have no biases.
    """

    def __init__(self, backbone: Residual, width: int = 256) -> None:
        super().__init__()
        own = strides(backbone)
        self.depth = len(own)
        self.channels = width
        self.strides = (*own, 2 * own[-1])
        self.divisor = own[-1]
        self.lateral = nn.ModuleList(_normed(inside, width, 1) for inside in widths(backbone))
        self.output = nn.ModuleList(_normed(width, width, 3) for _ in own)

    def forward(self, maps: list[Groups]) -> list[Groups]:
        inner: Groups | None = None
        found: list[Groups] = []
        parts = list(zip(self.lateral, self.output, maps, strict=True))
        for lateral, output, groups in reversed(parts):
            beside = run(lateral, groups)
            if inner is not None:
                larger = [F.interpolate(x, scale_factor=2.0, mode="nearest") for x in inner]
                beside = [a + b for a, b in zip(beside, larger, strict=True)]
            inner = beside
            found.insert(0, run(output, inner))
        return [*found, [x[:, :, ::2, ::2] for x in found[-1]]]


def _normed(inside: int, width: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(inside, width, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_uniform_(convolution.weight, a=1)
    return nn.Sequential(convolution, PadGroupNorm(width, group=1))
