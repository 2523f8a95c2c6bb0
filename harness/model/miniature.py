"""A residual network small enough to pre-train on a laptop's CPU in seconds."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


class _Block(nn.Module):
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
    """A 3x3 stem and one residual block per width; each after the first halves the resolution.

    Input (N, 3, H, W) float; output (N, widths[-1]) after global average pooling.
    """

    def __init__(self, norm: Norm, widths: tuple[int, ...] = (16, 32, 64)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = norm(widths[0])
        inside = (widths[0], *widths[:-1])
        self.blocks = nn.Sequential(
            *(
                _Block(i, o, 1 if n == 0 else 2, norm)
                for n, (i, o) in enumerate(zip(inside, widths, strict=True))
            )
        )
        self.feature_dim = widths[-1]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(F.relu(self.bn1(self.conv1(x)))).mean((2, 3))  # type: ignore[no-any-return]
