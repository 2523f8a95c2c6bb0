"""Test of a segmentation network: every image at its original size, in one piece."""

from __future__ import annotations

from itertools import groupby

import torch
from torch import Tensor

from harness.data.joint_views import normalised
from harness.data.masks import Pair
from harness.data.segmentation import Segmentation
from harness.evaluate.features import NotFinite
from harness.evaluate.miou import MeanIoU, confusion, mean_iou
from harness.model.fcn import FCN
from harness.runtime.device_copy import moved
from harness.runtime.precision import Precision, autocast, widen
from harness.runtime.world import World

AT_ONCE = 8
"""Images of one size that are computed at once. Blocks of so many images are dealt to the ranks, so
a result does not depend on the number of ranks: batching changes the last bit of a score."""


@torch.no_grad()
def predicted_masks(
    network: FCN, images: Tensor, data: Segmentation, precision: Precision = "fp32"
) -> Tensor:
    """The class of every pixel, uint8 (N, H, W), of images uint8 (N, 3, H, W) of any size.

    The caller has put the network into eval mode.

    Raises:
        NotFinite: a score is not finite, so there is no prediction.
    """
    x = normalised(images, data.mean, data.std)
    with autocast(precision, x.device):
        scores = network(x)
    scores = widen(scores)
    if not bool(torch.isfinite(scores).all()):
        raise NotFinite("the scores of a test image are not finite, so it has no predicted mask")
    return scores.argmax(1).to(torch.uint8)


def segmentation_scores(
    network: FCN, data: Segmentation, world: World, precision: Precision = "fp32"
) -> MeanIoU:
    """The scores on the data set's test images, the same on every rank.

    Raises:
        NoData: an image or a mask is missing or wrong.
        NotFinite: as in `predicted_masks`.
    """
    classes = len(data.classes)
    counts = torch.zeros(classes, classes, dtype=torch.int64, device=world.device)
    blocks = torch.split(torch.arange(len(data.test)), AT_ONCE)
    wrong = ""
    try:
        for block in blocks[world.rank :: world.size]:
            for _, same in groupby(data.test.load(block, _both), lambda pair: pair[1].shape):
                images, masks = (
                    moved(torch.stack(part), world.device) for part in zip(*same, strict=True)
                )
                predicted = predicted_masks(network, images, data, precision)
                counts += confusion(predicted, masks, classes)
    except NotFinite as error:
        wrong = str(error)
    if world.any(bool(wrong)):  # all ranks stop, rather than wait for this one
        raise NotFinite(wrong or "the scores of another rank's test image are not finite")
    return mean_iou(counts, world)


def _both(_: int, pair: Pair) -> Pair:
    return pair
