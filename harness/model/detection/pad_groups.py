"""Images of different sizes: padded group by group, and passed through a network in step.

detectron2 pads the images of one GPU to a common size. The padding, and with it the statistics of
norms, then depend on the number of GPUs. Here the recipe says how many images are padded together:
convolutions see one group at a time, norms see all groups of all processes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from harness.model.backbones import Miniature, MiniatureBlock, Residual
from harness.model.detection.boxes import Size
from harness.model.grouped_norm import GroupedBatchNorm2d
from harness.model.running_statistics import SHARE
from harness.runtime.precision import widen

Groups = list[Tensor]
"""One tensor (n, C, H, W) for each pad group; n, H and W may differ."""


class PadGroupNorm(GroupedBatchNorm2d):
    """Batch norm over all pad groups of all processes, each with the same weight.

    A mean is the mean over groups of the groups' means, and so is a mean square, whatever their
    sizes: detectron2's NaiveSyncBatchNorm, which MoCo's detectors use, does this with GPUs. The
    running variance is the biased one, as there. All processes must have equally many groups.
    """

    def forward_groups(self, groups: Groups) -> Groups:
        """Normalise each of the groups."""
        if not self.training:
            return [self(each) for each in groups]
        wide = [widen(each) for each in groups]
        mean = self._mean(wide)
        centred = [each - mean.view(-1, 1, 1) for each in wide]
        variance = self._mean([each * each for each in centred])
        self._follow_biased(mean.detach(), variance.detach())
        scale = (self.weight * (variance + self.eps).rsqrt()).view(-1, 1, 1)
        bias = self.bias.view(-1, 1, 1)
        dtype = groups[0].dtype
        return [torch.addcmul(bias, each, scale).to(dtype) for each in centred]

    def _mean(self, groups: Groups) -> Tensor:
        """The mean over all processes' groups of their means (C,), with its gradient."""
        means = torch.stack([each.mean((0, 2, 3)) for each in groups])
        if self.world is not None:
            means = self.world.gather_with_gradient(means)
        return means.mean(0)

    @torch.no_grad()
    def _follow_biased(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), SHARE)
        self.running_var.lerp_(variance.to(self.running_var.dtype), SHARE)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def in_groups(images: Sequence[Tensor], size: int, divisor: int) -> tuple[Groups, list[list[Size]]]:
    """Pad each `size` consecutive images with zeros, on the right and below, to a common size.

    Args:
        images: float (3, H, W) each.
        divisor: padded sides are multiples of it.

    Returns:
        The groups, and the sizes that their images had.
    """
    groups, sizes = [], []
    for start in range(0, len(images), size):
        own = images[start : start + size]
        sizes.append([(each.shape[1], each.shape[2]) for each in own])
        height, width = (
            -(-max(size[side] for size in sizes[-1]) // divisor) * divisor for side in (0, 1)
        )
        group = own[0].new_zeros(len(own), 3, height, width)
        for place, image in zip(group, own, strict=True):
            place[:, : image.shape[1], : image.shape[2]] = image
        groups.append(group)
    return groups, sizes


def run(module: nn.Module, groups: Groups) -> Groups:
    """What `module` makes of each group, its norms seeing all of them.

    Raises:
        TypeError: it contains a module of which it is not known how to do that.
    """
    if isinstance(module, PadGroupNorm):
        return module.forward_groups(groups)
    if isinstance(module, nn.Sequential):
        for part in module:
            groups = run(part, groups)
        return groups
    if isinstance(module, BasicBlock | Bottleneck | MiniatureBlock):
        return _run_block(module, groups)
    if isinstance(module, nn.Conv2d | nn.ReLU | nn.MaxPool2d | nn.Identity):
        return [module(each) for each in groups]
    raise TypeError(f"pad groups cannot pass a {type(module).__name__} in step")


def _run_block(block: BasicBlock | Bottleneck | MiniatureBlock, groups: Groups) -> Groups:
    deep = isinstance(block, Bottleneck)
    pairs = [(block.conv1, block.bn1), (block.conv2, block.bn2)]
    pairs += [(block.conv3, block.bn3)] if deep else []
    inner = groups
    for position, (convolution, norm) in enumerate(pairs):
        inner = run(norm, run(convolution, inner))
        if position < len(pairs) - 1:
            inner = [F.relu(x) for x in inner]
    beside = block.shortcut if isinstance(block, MiniatureBlock) else block.downsample
    shortcuts = groups if beside is None else run(beside, groups)
    return [F.relu(a + b) for a, b in zip(inner, shortcuts, strict=True)]


def stages(backbone: Miniature | Residual) -> list[nn.Sequential]:
    """A backbone's stages in order; each of a ResNet's after the first halves the resolution."""
    if isinstance(backbone, Miniature):
        return [nn.Sequential(block) for block in backbone.blocks]
    return [backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]


def stem(backbone: Miniature | Residual, groups: Groups) -> Groups:
    """What comes before the first stage."""
    groups = [F.relu(x) for x in run(backbone.bn1, run(backbone.conv1, groups))]
    return groups if isinstance(backbone, Miniature) else run(backbone.maxpool, groups)
