"""A ResNet-50 as MSRA's: the same weights by shape, another network."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from harness.model.backbones import Residual
from harness.model.detection.pad_groups import stages

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""By which the images are normalised that the network gets, of R, G and B in [0, 1]. MSRA's means,
103.53, 116.28 and 123.675 of B, G and R, are the same, so that padding is 0 for both."""


class MsraStem(nn.Conv2d):
    """A convolution of BGR images from 0 to 255 minus the mean, given normalised RGB images.

    The input is changed, and not the weights, which then learn at MSRA's scale.
    """

    def __init__(self, like: nn.Conv2d) -> None:
        """`like`: the stem's convolution, whose weights are taken."""
        side = like.kernel_size[0]
        super().__init__(3, like.out_channels, side, like.stride[0], side // 2, bias=False)
        self.weight = like.weight

    def forward(self, x: Tensor) -> Tensor:
        scale = 255 * x.new_tensor(STD[::-1]).view(-1, 1, 1)
        return super().forward(x.flip(1) * scale)


def lay_out(residual: Residual) -> None:
    """Move each block's stride from its 3x3 convolution to the 1x1 before it, and let the stem read
    MSRA's images. Names and shapes of the weights stay."""
    for stage in stages(residual):
        for block in stage:
            assert isinstance(block, Bottleneck)
            block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)
    residual.conv1 = MsraStem(residual.conv1)
