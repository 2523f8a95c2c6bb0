"""Test of a detector: what it finds in every test image, and how precise that is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.detection import DetectionSet
from harness.data.detection_views import views_to_test
from harness.data.joint_views import normalised
from harness.evaluate.coco_ap import coco_ap, encoded
from harness.evaluate.detections import AveragePrecision, Found, gathered, merged
from harness.evaluate.features import NotFinite
from harness.evaluate.voc_ap import voc_ap
from harness.model.detection.boxes import Detections, rescaled
from harness.model.detection.detector import Detector
from harness.model.detection.mask_targets import pasted
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
    detector: Detector,
    data: DetectionSet,
    shortest: int,
    longest: int,
    world: World,
    *,
    as_coco: bool,
) -> DetectionScores:
    """The average precision on the data set's test images, the same on every rank.

    Args:
        detector: in eval mode, on the world's device.
        shortest, longest: the size at which it sees an image, in pixels; see views_to_test.
        as_coco: by COCO's evaluation, which masks need; otherwise by VOC 2007's.

    Raises:
        NoData: an image is missing, damaged or not of the annotated size.
        NotFinite: the detector's output for an image is not finite.
    """
    blocks = torch.split(torch.arange(len(data.test)), AT_ONCE)
    mine: list[Found] = []
    wrong = ""
    try:
        for block in blocks[world.rank :: world.size]:
            mine += found_in(detector, data, block, shortest, longest, world.device)
    except NotFinite as error:
        wrong = str(error)
    if world.any(bool(wrong)):  # all ranks stop, rather than wait for this one
        raise NotFinite(wrong or "the output for another rank's test image is not finite")
    every = merged(gathered(mine, world), [image.id for image in data.test.images])
    if not as_coco:
        return DetectionScores(voc_ap(every, data.test, data.classes), None, every)
    boxes, masks = coco_ap(every, data.test, data.classes), None
    if detector.mask is not None:
        masks = coco_ap(every, data.test, data.classes, "segm")
    return DetectionScores(boxes, masks, every)


def found_in(
    detector: Detector,
    data: DetectionSet,
    index: Tensor,
    shortest: int,
    longest: int,
    device: torch.device,
) -> list[Found]:
    """What the detector, in eval mode, finds in test images.

    Args:
        index: int64 (n,), numbers in `data.test`.
        shortest, longest: as in `detection_scores`.

    Raises:
        NoData: as in `detection_scores`.
        NotFinite: likewise.
    """
    views = views_to_test(data.test, index, shortest, longest)
    try:
        seen = detector.detect(to_network([view.image for view in views], data, device))
    except FloatingPointError as error:
        raise NotFinite(str(error)) from None
    found = []
    for view, one in zip(views, seen, strict=True):
        there = rescaled(one, (view.image.shape[1], view.image.shape[2]), view.original)
        found.append(_found(view.id, there, view.original))
    return found


def _found(image: int | str, there: Detections, size: tuple[int, int]) -> Found:
    """The detections in an image of `size` as arrays."""
    masks = None
    if there.masks is not None:
        whole = pasted(there.masks, there.boxes, size)
        masks = encoded(whole.cpu().numpy()) if len(whole) else ()
    boxes, scores = (x.float().cpu().numpy() for x in (there.boxes, there.scores))
    return Found(image, boxes, there.labels.cpu().numpy(), scores, masks)


def to_network(images: list[Tensor], data: DetectionSet, device: torch.device) -> list[Tensor]:
    """Images uint8 (3, H, W) each as a detector takes them: normalised float32, on the device."""
    return [normalised(image.to(device), data.mean, data.std) for image in images]
