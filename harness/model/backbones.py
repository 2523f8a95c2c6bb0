"""Backbones by the recipe's name: torchvision's ResNets, their CIFAR form, and the miniature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from harness.model.grouped_norm import GroupedBatchNorm2d
from harness.recipe.schema import Model

Norm = Callable[[int], nn.Module]

_LAYERS: dict[str, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnext50_32x8d": (Bottleneck, [3, 4, 6, 3]),
}


class Residual(ResNet):  # type: ignore[misc]
    """torchvision's ResNet without its classifier, optionally wider or with the CIFAR stem.

    Args:
        small_stem: a 3x3 convolution of stride 1 and no max-pooling, for 32-pixel images (the
            official CIFAR-10 demo). Its weights are drawn as nn.Conv2d draws them, as in the demo,
            those of the other convolutions as ResNet does.
        width: multiplies the channels of every layer, the stem's included (v1 Table 1's w2x, w4x).

    Input (N, 3, H, W); output (N, feature_dim) after global average pooling.
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        layers: Sequence[int],
        norm: Norm,
        *,
        small_stem: bool = False,
        width: int = 1,
        groups: int = 1,
        width_per_group: int = 64,
    ) -> None:
        self._widen = width  # read by _make_layer, which the parent's constructor calls
        super().__init__(
            block,
            list(layers),
            norm_layer=norm,
            groups=groups,
            width_per_group=width_per_group,
        )
        channels = 64 * width
        if small_stem or width > 1:
            kernel, stride = (3, 1) if small_stem else (7, 2)
            self.conv1 = nn.Conv2d(3, channels, kernel, stride, kernel // 2, bias=False)
            if not small_stem:  # the demo puts its stem in after ResNet has drawn its own weights
                nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
            self.bn1 = norm(channels)
        if small_stem:
            self.maxpool = nn.Identity()
        self.feature_dim: int = self.fc.in_features * width
        del self.fc

    def _make_layer(
        self, block: type[BasicBlock | Bottleneck], planes: int, *rest: object, **named: object
    ) -> nn.Sequential:
        if planes == 64:
            self.inplanes = 64 * self._widen
        return super()._make_layer(block, planes * self._widen, *rest, **named)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.avgpool(self.feature_map(x)), 1)

    def feature_map(self, x: Tensor) -> Tensor:
        """The last layer's output (N, feature_dim, h, w), before pooling."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))  # type: ignore[no-any-return]


class MiniatureBlock(nn.Module):
    """conv-norm-ReLU-conv-norm beside a shortcut, as in ResNet's basic block."""

    def __init__(self, inside: int, outside: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = norm(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = norm(outside)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inside != outside:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), norm(outside)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Miniature(nn.Module):
    """A residual network small enough to pre-train on a laptop's CPU in seconds.

    A 3x3 stem and one residual block per width; each after the first halves the resolution.

    Input (N, 3, H, W) float; output (N, widths[-1]) after global average pooling.
    """

    def __init__(self, norm: Norm, widths: tuple[int, ...] = (16, 32, 64)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = norm(widths[0])
        inside = (widths[0], *widths[:-1])
        self.blocks = nn.Sequential(
            *(
                MiniatureBlock(i, o, 1 if n == 0 else 2, norm)
                for n, (i, o) in enumerate(zip(inside, widths, strict=True))
            )
        )
        self.feature_dim = widths[-1]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.feature_map(x).mean((2, 3))

    def feature_map(self, x: Tensor) -> Tensor:
        """The last block's output (N, feature_dim, h, w), before pooling."""
        return self.blocks(F.relu(self.bn1(self.conv1(x))))  # type: ignore[no-any-return]


def backbone(
    model: Model, kind: type[GroupedBatchNorm2d] = GroupedBatchNorm2d
) -> Miniature | Residual:
    """The recipe's backbone with new random weights; it has an attribute `feature_dim`.

    Args:
        kind: of its norms.
    """
    norm = partial(kind, group=model.bn_group, running_stats=model.running_stats)
    if model.backbone == "miniature":
        return Miniature(norm, widths=tuple(w * model.width for w in (16, 32, 64)))
    name = model.backbone.removesuffix("_cifar")
    block, layers = _LAYERS[name]
    resnext = name.startswith("resnext")
    return Residual(
        block,
        layers,
        norm,
        small_stem=model.backbone.endswith("_cifar"),
        width=model.width,
        groups=32 if resnext else 1,
        width_per_group=8 if resnext else 64,
    )


def dilate(residual: Residual) -> None:
    """Give the 3x3 convolutions of the last stage stride 1 and dilation 2, in every block."""
    for module in residual.layer4.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
            if module.kernel_size == (3, 3):
                module.dilation = module.padding = (2, 2)
