"""The shape of each detection: a mask for each class on a grid over its box (Mask R-CNN)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.model.detection.box_head import Sampled
from harness.model.detection.boxes import Detections, Target
from harness.model.detection.mask_targets import mask_targets
from harness.runtime.precision import widen


class MaskHead(nn.Sequential):
    """3x3 convolutions, one that doubles the grid's side, and a 1x1 convolution.

    No class is background: a box that is sampled as background learns no mask. torchvision's head
    has a channel for it, 257 parameters more, that nothing ever trains.

    Args:
        channels: of the features.
        classes: without background.
        convolutions: before the grid is doubled: 4 on FPN, none behind res5.
        width: channels of all layers.
    """

    def __init__(self, channels: int, classes: int, convolutions: int, width: int = 256) -> None:
        layers: list[nn.Module] = []
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers += [nn.ConvTranspose2d(channels, width, 2, 2), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(width, classes, 1))
        for layer in self:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self[-1].weight, std=0.001)  # type: ignore[arg-type]

    def losses(
        self, features: Tensor, drawn: Sequence[Sampled], targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        """Cross-entropy of the pixels of the true class's mask, the mean over all.

        Args:
            features: (m, channels, S, S) of the m positive proposals of all images.

        Raises:
            ValueError: a target has no masks.
        """
        logits = widen(self(features))
        wanted = []
        for own, target in zip(drawn, targets, strict=True):
            if target.masks is None:
                raise ValueError("a mask head learns from targets with masks")
            boxes, which = own.boxes[own.positive], own.which[own.positive]
            wanted.append(mask_targets(target.masks, which, boxes, logits.shape[-1]))
        truth = torch.cat(wanted).to(logits.dtype)
        if not len(truth):
            return {"mask": logits.sum()}
        labels = torch.cat([own.labels[own.positive] for own in drawn])
        chosen = logits[torch.arange(len(logits), device=logits.device), labels]
        return {"mask": F.binary_cross_entropy_with_logits(chosen, truth)}

    def masks(self, features: Tensor, found: Sequence[Detections]) -> list[Detections]:
        """The detections with the masks of their classes, from the features of their boxes.

        Raises:
            FloatingPointError: a mask is not finite, so that it would look empty.
        """
        labels = torch.cat([each.labels for each in found])
        logits = widen(self(features))
        if not bool(logits.isfinite().all()):
            raise FloatingPointError("the masks of a test image are not finite")
        chosen = logits[torch.arange(len(logits), device=logits.device), labels].sigmoid()
        shares = torch.split(chosen, [len(each.labels) for each in found])
        return [
            Detections(each.boxes, each.labels, each.scores, own)
            for each, own in zip(found, shares, strict=True)
        ]
