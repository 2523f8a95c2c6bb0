"""Detection: a Faster or Mask R-CNN on the parent's backbone, all layers train (v1 Sec. 4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from harness.data.aspect_groups import AspectGroups
from harness.data.detection import DetectionSet, open_detection
from harness.data.detection_views import DetectionPolicy, DetectionView, training_views
from harness.errors import DataError, HarnessError
from harness.evaluate.box_pictures import (
    detections_png,
    detections_text,
    legend,
    objects_png,
    objects_text,
)
from harness.evaluate.detection import DetectionScores, detection_scores, found_in, to_network
from harness.evaluate.mask_pictures import image_png, sample
from harness.model.detection.boxes import Target, moved_target
from harness.model.detection.build import build_detector
from harness.model.detection.detector import Detector
from harness.model.fcn import load_backbone
from harness.recipe.detection import DetectionTask
from harness.runtime import keyed
from harness.stage import frozen
from harness.stage.context import Context, StageOutcome
from harness.stage.trainable import TaskTraining, Trainable, ahead
from harness.store.pictures import Panel, Pictures
from harness.store.precision_recall import PrecisionRecall

SHOWN = 6
"""Test images whose detections are kept as pictures."""


@dataclass(frozen=True)
class Batch:
    """A process's share of a step."""

    images: list[Tensor]
    """(3, H, W) each: uint8 or, in place, normalised float32 on the device."""
    targets: list[Target]
    keys: list[int]
    """Of the draws of anchors and proposals."""


class Detecting(Trainable[Batch]):
    """What detection supplies to the loop.

    Raises:
        DataError: the data set is missing or too small for a batch.
        HarnessError: the processes cannot share a batch in whole pad groups.
        StoreError: see frozen.encoder.
    """

    model: Detector

    def __init__(self, context: Context) -> None:
        self.context = context
        self.protocol: DetectionTask = context.section
        if why := self.protocol.unshareable(context.world.size):
            raise HarnessError(f"tasks.{context.asked.under}.batch: {why}")
        self.stream = context.stream(self.protocol.kind)
        self.data = opened(context, self.protocol)
        self.fingerprint = self.data.fingerprint
        context.world.same(f"the boxes' fingerprint {self.fingerprint}")
        self.policy = policy(self.protocol, self.data)
        self.tested_at = self.protocol.tested_at or max(self.policy.shortest)
        wide = torch.tensor([image.is_wide for image in self.data.train.images])
        self.groups = AspectGroups(wide, self.protocol.pad_group, *self.stream)
        self.model = build_detector(
            self.protocol.detector,
            context.recipe.model,
            len(self.data.classes),
            self.protocol.pad_group,
            *self.stream,
        )
        made = frozen.encoder(context, "backbone")
        where = str(context.parent.checkpoints) if context.parent else "the parent"
        load_backbone(self.model, made.backbone.state_dict(), where)
        self.head = [part for name, part in self.model.named_children() if name != "backbone"]
        self.per_epoch = len(self.data.train) // self.protocol.batch
        self._scores: DetectionScores | None = None

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        return ahead(self.share, first, last)

    def share(self, step: int) -> Batch:
        """This process's views of step `step`."""
        mine = self.context.world.share(self.groups.batch(step, self.protocol.batch))
        views = training_views(self.data.train, mine, self.policy, *self.stream, "augment", step)
        keys = [keyed.key(*self.stream, "sample", step, view.id) for view in views]
        return Batch([view.image for view in views], [self._target(view) for view in views], keys)

    def _target(self, view: DetectionView) -> Target:
        return Target(view.boxes, view.labels, view.masks if self.protocol.outlines else None)

    def loss(self, batch: Batch) -> Tensor:
        """The sum of the detector's losses, each a mean over the share's pad groups."""
        return self.outputs(self.in_place(batch))

    def in_place(self, batch: Batch) -> Batch:
        images = to_network(batch.images, self.data, self.context.device)
        targets = [moved_target(each, self.context.device) for each in batch.targets]
        return Batch(images, targets, batch.keys)

    def outputs(self, batch: Batch) -> Tensor:
        """The loss: proposals are drawn by what the network says of the images, so a detector has
        no forward pass without its losses."""
        losses: dict[str, Tensor] = self.model(batch.images, batch.targets, batch.keys)
        return torch.stack(list(losses.values())).sum()

    def evaluate(self) -> dict[str, float]:
        """Average precisions on all test images, in percent."""
        self._scores = found = self._measured()
        measured: dict[str, float] = {}
        for prefix, scores in (("", found.boxes), ("mask_", found.masks)):
            if scores is not None:
                each = {"ap": scores.ap, "ap50": scores.ap50, "ap75": scores.ap75}
                measured |= {f"{self.protocol.kind}/{prefix}{k}": v for k, v in each.items()}
        for name, ap in zip(self.data.classes, found.boxes.per_class, strict=True):
            if ap is not None:
                measured[f"{self.protocol.kind}/class_ap@{name.replace(' ', '_')}"] = ap
        return measured

    def _measured(self) -> DetectionScores:
        return detection_scores(
            self.model,
            self.data,
            self.tested_at,
            self.policy.longest,
            self.context.world,
            as_coco=self.protocol.is_evaluated_as_coco,
        )

    def precision_recall(self) -> PrecisionRecall:
        """On all test images. An attempt that resumes behind the evaluation measures once more."""
        found = self._scores or self._measured()
        curves = {"boxes": found.boxes.curves}
        if found.masks is not None:
            curves["masks"] = found.masks.curves
        return PrecisionRecall(101 if self.protocol.is_evaluated_as_coco else 11, curves)

    def pictures(self) -> Pictures:
        """A few test images, their objects and what is found in them."""
        data, protocol, samples = self.data, self.protocol, {}
        for number in sample(len(data.test), SHOWN):
            at = self.tested_at, protocol.longest
            (found,) = found_in(self.model, data, torch.tensor([number]), *at, self.context.device)
            image = pil_to_tensor(data.test.picture(number))
            true = data.test.images[number].instances
            samples[number] = {
                "image": Panel(image_png(image), f"test image {number}"),
                "true": Panel(objects_png(image, true), objects_text(true, data.classes)),
                "predicted": Panel(
                    detections_png(image, found), detections_text(found, data.classes)
                ),
            }
        return Pictures(samples, legend(data.classes))

    def facts(self) -> dict[str, Any]:
        return {"boxes": self.data.described}


def policy(protocol: DetectionTask, data: DetectionSet) -> DetectionPolicy:
    """How views are drawn; without sizes in the recipe, scenes are seen as they are."""
    own = (min(data.train.images[0].size),)
    return DetectionPolicy(protocol.shortest or own, protocol.longest, protocol.flip_p)


def opened(context: Context, protocol: DetectionTask) -> DetectionSet:
    """The task's images with boxes.

    Raises:
        DataError: they are missing, wrong or fewer than one batch.
    """
    asked, field = protocol.boxes, f"tasks.{context.asked.under}"
    more = {} if asked.size is None else {"size": asked.size}
    try:
        data = open_detection(
            asked.name,
            context.data_root,
            outlines=protocol.outlines,
            images=asked.images,
            tested=asked.tested,
            **more,
        )
    except DataError as error:
        raise type(error)(f"{field}.boxes: {error}") from None
    if protocol.batch > len(data.train):
        raise DataError(
            f"{field}.batch: {protocol.batch} images per step, but {data.name} has only "
            f"{len(data.train)} images to train with; lower it"
        )
    for remark in data.remarks:
        context.reporter.note(remark)
    return data


def training(context: Context) -> TaskTraining[Batch]:
    """The training of the detector, at its start."""
    return TaskTraining(context, Detecting(context))


def run(context: Context) -> StageOutcome:
    """Train the detector; see TaskTraining.run."""
    return training(context).run()
