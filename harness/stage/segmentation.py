"""Semantic segmentation: an FCN-16s on the parent's backbone, all layers train (v1 Appendix A)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.data.joint_views import JointPolicy, check_crop, views
from harness.data.masks import IGNORED
from harness.data.segmentation import Segmentation, open_segmentation
from harness.errors import DataError
from harness.evaluate.mask_pictures import image_png, legend, mask_png, sample, shares
from harness.evaluate.segmentation import predicted_masks, segmentation_scores
from harness.model.fcn import FCN, build_fcn, load_backbone
from harness.recipe.segmentation import SegmentationTask
from harness.runtime import keyed
from harness.runtime.device_copy import moved
from harness.runtime.precision import autocast, widen
from harness.stage import frozen
from harness.stage.context import Context, StageOutcome
from harness.stage.trainable import TaskTraining, Trainable, ahead
from harness.store.pictures import Panel, Pictures

SHOWN = 6
"""Test images whose masks are kept as pictures."""

Views = tuple[Tensor, Tensor]
"""Normalised images, float32 (n, 3, S, S), and their masks, int64 (n, S, S)."""


class Segmenting(Trainable[Views]):
    """What segmentation supplies to the loop.

    Raises:
        DataError: the masks are missing or too few, or a crop is larger than any image.
        StoreError: see frozen.encoder.
    """

    model: FCN

    def __init__(self, context: Context) -> None:
        self.context = context
        self.protocol: SegmentationTask = context.section
        self.stream = context.stream("segmentation")
        self.policy = JointPolicy(self.protocol.crop, self.protocol.scale, self.protocol.flip_p)
        self.data = opened(context, self.protocol, self.policy)
        self.fingerprint = self.data.fingerprint
        context.world.same(f"the masks' fingerprint {self.fingerprint}")
        model, classes = context.recipe.model, len(self.data.classes)
        self.model = build_fcn(model, classes, self.protocol.batch, *self.stream)
        made = frozen.encoder(context, "backbone")
        where = str(context.parent.checkpoints) if context.parent else "the parent"
        load_backbone(self.model, made.backbone.state_dict(), where)
        self.head = (self.model.head,)
        self.per_epoch = len(self.data.train) // self.protocol.batch
        self._remark = ""
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def batches(self, first: int, last: int) -> Iterator[Views]:
        return ahead(self.share, first, last)

    def indices(self, step: int) -> Tensor:
        """The training images of step `step` over all processes, int64 (batch,). An epoch is a
        permutation of them, without its last, smaller batch."""
        epoch, position = divmod(step, self.per_epoch)
        known, order = self._order
        if known != epoch:
            order = keyed.permutation(keyed.key(*self.stream, "order", epoch), len(self.data.train))
            self._order = epoch, order
        return order[position * self.protocol.batch :][: self.protocol.batch]

    def share(self, step: int) -> Views:
        """This process's views of step `step`."""
        mine = self.context.world.share(self.indices(step))
        epoch = step // self.per_epoch
        return views(self.data, mine, self.policy, *self.stream, "augment", epoch)

    def outputs(self, batch: Views) -> Tensor:
        """The scores of every pixel, float32 (n, classes, S, S)."""
        images = moved(batch[0], self.context.device)
        with autocast(self.protocol.precision, images.device):
            scores = self.model(images)
        return widen(scores)

    def loss(self, batch: Views) -> Tensor:
        """The share's part of the mean over the counted pixels of the global batch, times the
        number of processes: their means differ, as not all have as many pixels that count."""
        scores = self.outputs(batch)
        masks = moved(batch[1], self.context.device)
        if scores.is_cuda:  # which has no deterministic sum of a loss of two dimensions
            scores, masks = scores.movedim(1, -1).flatten(0, 2), masks.flatten()
        # Class by class in memory, else a CPU takes five times as long.
        scores = scores.contiguous()
        losses = F.cross_entropy(scores, masks, ignore_index=IGNORED, reduction="none")
        world = self.context.world
        counted = world.sum((masks != IGNORED).sum())
        return losses.sum() * world.size / counted.clamp(min=1)

    def evaluate(self) -> dict[str, float]:
        """Mean IoU and pixel accuracy on all test images at their original size, in percent."""
        world = self.context.world
        found = segmentation_scores(self.model, self.data, world, self.protocol.precision)
        self._remark = found.remark(self.data.classes)
        measured = {"segmentation/miou": found.mean, "segmentation/accuracy": found.accuracy}
        for name, iou in zip(self.data.classes, found.per_class, strict=True):
            if iou is not None:
                measured[f"segmentation/iou@{name.replace(' ', '_')}"] = iou
        return measured

    def pictures(self) -> Pictures:
        """A few test images, their masks and the predicted ones."""
        data, names = self.data, self.data.classes
        samples: dict[int, dict[str, Panel]] = {}
        for number in sample(len(data.test), SHOWN):
            image, true = data.test.pair(number)
            x = moved(image[None], self.context.device)
            predicted = predicted_masks(self.model, x, data, self.protocol.precision)[0].cpu()
            counted = true != IGNORED
            hits = 100 * (predicted == true)[counted].double().mean().item() if counted.any() else 0
            said = f"{shares(predicted, names)}; {hits:.0f} % of the pixels correct"
            samples[number] = {
                "image": Panel(image_png(image), f"test image {number}"),
                "true": Panel(mask_png(true), shares(true, names)),
                "predicted": Panel(mask_png(predicted), said),
            }
        return Pictures(samples, legend(names))

    def facts(self) -> dict[str, Any]:
        if self._remark:  # of the last evaluation only: earlier ones have other classes
            self.context.reporter.note(f"{self.context.folder.id}: {self._remark}")
        return {"masks": self.data.described}


def opened(context: Context, protocol: SegmentationTask, policy: JointPolicy) -> Segmentation:
    """The task's masks.

    Raises:
        DataError: they are missing, fewer than one batch, or smaller than the crop.
    """
    asked, field = protocol.masks, f"tasks.{context.asked.under}"
    more = {} if asked.size is None else {"size": asked.size}
    try:
        data = open_segmentation(
            asked.name, context.data_root, images=asked.images, tested=asked.tested, **more
        )
    except DataError as error:
        raise type(error)(f"{field}.masks: {error}") from None
    if protocol.batch > len(data.train):
        raise DataError(
            f"{field}.batch: {protocol.batch} images per step, but {data.name} has only "
            f"{len(data.train)} images to train with; lower it"
        )
    try:
        check_crop(policy, data.train, data.name)
    except DataError as error:
        raise DataError(f"{field}.{error}") from None
    for remark in data.remarks:
        context.reporter.note(remark)
    return data


def training(context: Context) -> TaskTraining[Views]:
    """The training of the segmentation network, at its start."""
    return TaskTraining(context, Segmenting(context))


def run(context: Context) -> StageOutcome:
    """Train the segmentation network; see TaskTraining.run."""
    return training(context).run()
