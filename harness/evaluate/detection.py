"""Test of a detector: what it finds in every test image, and how precise that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.detection import DetectionSet
from harness.data.detection_views import DetectionView, views_to_test
from harness.data.joint_views import normalised
from harness.evaluate.coco_ap import coco_ap, encoded
from harness.evaluate.detections import AveragePrecision, Found, gathered, merged
from harness.evaluate.features import NotFinite
from harness.evaluate.voc_ap import voc_ap
from harness.model.detection.boxes import Detections, rescaled
from harness.model.detection.detector import Detector
from harness.model.detection.mask_targets import pasted
from harness.recipe.detection import COCO_METRIC
from harness.runtime.world import World

AT_ONCE = 8
"""Test images that are read at once. Blocks of so many are dealt to the ranks, so that a result
does not depend on the number of ranks: images of one size are computed together, which changes the
last bit of a score."""


@dataclass(frozen=True)
class DetectionScores:
    """What a detector reached on a data set's test images."""

    boxes: AveragePrecision
    masks: AveragePrecision | None
    """None: the detector predicts none."""
    found: list[Found]
    """In the order of the test images."""


def detection_scores(
    detector: Detector, data: DetectionSet, shortest: int, longest: int, world: World
) -> DetectionScores:
    """The average precision on the data set's test images, the same on every rank.

    Args:
        detector: in eval mode, on the world's device.
        shortest, longest: the size at which it sees an image; see views_to_test.

    Raises:
        NoData: an image is missing, damaged or not of the annotated size.
        NotFinite: the detector's output for an image is not finite.
    """
    blocks = torch.split(torch.arange(len(data.test)), AT_ONCE)
    mine: list[Found] = []
    wrong = ""
    try:
        for block in blocks[world.rank :: world.size]:
            seen = views_to_test(data.test, block, shortest, longest)
            mine += _found(detector, data, seen, world.device)
    except FloatingPointError as error:
        wrong = str(error)
    if world.any(bool(wrong)):  # all ranks stop, rather than wait for this one
        raise NotFinite(wrong or "the output for another rank's test image is not finite")
    every = merged(gathered(mine, world), [image.id for image in data.test.images])
    masks = None
    if data.name not in COCO_METRIC and detector.mask is None:
        return DetectionScores(voc_ap(every, data.test, data.classes), None, every)
    if detector.mask is not None:
        masks = coco_ap(every, data.test, data.classes, "segm")
    return DetectionScores(coco_ap(every, data.test, data.classes), masks, every)


def _found(
    detector: Detector, data: DetectionSet, views: list[DetectionView], device: torch.device
) -> Iterator[Found]:
    images = to_network([view.image for view in views], data, device)
    for view, one in zip(views, detector.detect(images), strict=True):
        there = rescaled(one, (view.image.shape[1], view.image.shape[2]), view.original)
        masks = None
        if there.masks is not None:
            whole = pasted(there.masks, there.boxes, view.original)
            masks = encoded(whole.cpu().numpy()) if len(whole) else ()
        yield Found(view.id, *_arrays(there), masks)


def _arrays(
    found: Detections,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    boxes, scores = (x.float().cpu().numpy() for x in (found.boxes, found.scores))
    return boxes, found.labels.cpu().numpy(), scores


def to_network(images: list[Tensor], data: DetectionSet, device: torch.device) -> list[Tensor]:
    """Images uint8 (3, H, W) each as a detector takes them: normalised float32, on the device."""
    return [normalised(image.to(device), data.mean, data.std) for image in images]
