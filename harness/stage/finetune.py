"""Fine-tuning: the parent's backbone and a new linear classifier, all layers train (v1 Sec. 4.2,
iNaturalist); semi-supervised if only a share of the labels is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.data.images import Images
from harness.data.labelled import listed, stratified
from harness.data.loader import Batch, Loader, normalise
from harness.errors import DataError
from harness.evaluate.accuracy import accuracies
from harness.evaluate.features import NotFinite
from harness.evaluate.knn import not_among
from harness.evaluate.linear_probe import INITIAL_STD
from harness.model.backbones import Miniature, Residual
from harness.recipe.finetune import FinetuneTask
from harness.recipe.schema import Augment
from harness.runtime import keyed
from harness.runtime.device_copy import moved
from harness.runtime.precision import autocast, widen
from harness.stage import frozen
from harness.stage.context import Context, StageOutcome
from harness.stage.trainable import TaskTraining, Trainable

AT_ONCE = 500
"""Test images that are classified at once."""


class Classifier(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes)."""

    def __init__(self, backbone: Miniature | Residual, classes: int, *stream: int | str) -> None:
        """`stream` is the key of the classifier's initial weights."""
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(backbone.feature_dim, classes)
        start = torch.randn(self.fc.weight.shape, generator=keyed.generator(*stream))
        with torch.no_grad():
            self.fc.weight.copy_(start * INITIAL_STD)
            self.fc.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.backbone(x))
        return logits


class Finetuning(Trainable[Batch]):
    """What fine-tuning supplies to the loop.

    Raises:
        DataError: the labelled images are too few, or the list of them does not fit the data.
        StoreError: see frozen.encoder.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.protocol: FinetuneTask = context.section
        self.size = context.asked.data(context.recipe).size
        stream, data = context.stream("finetune"), context.data
        self.images = labelled(context, self.protocol)
        made = frozen.encoder(context, "backbone")
        self.model = Classifier(made.backbone, data.classes, *stream, "head")
        self.head = (self.model.fc,)
        views = Augment(
            crop_scale=self.protocol.crop_scale, jitter=(0, 0, 0, 0), jitter_p=0, grayscale_p=0
        )
        self.loader = Loader(
            data,
            self.images,
            [views.at(self.size)],
            stream=stream,
            batch=self.protocol.batch,
            device=context.device,
            share=(context.world.rank, context.world.size),
        )
        self.per_epoch = self.loader.steps_per_epoch

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        return self.loader.batches(first, last)

    def loss(self, batch: Batch) -> Tensor:
        labels = moved(
            self.images.labels[batch.index.to(self.images.labels.device)], self.context.device
        )
        return F.cross_entropy(self.outputs(batch), labels)

    def outputs(self, batch: Batch) -> Tensor:
        """The logits, float32 (n, classes)."""
        return self._logits(batch.views[0])

    def evaluate(self) -> dict[str, float]:
        """Top-1, the mean per class on data that is published with it and, of more than five
        classes, top-5 accuracy on all test images, in percent. Answers are classes that are
        tested."""
        context, data, test = self.context, self.context.data, self.context.data.test
        mine = torch.arange(context.world.rank, len(test), context.world.size)
        possible = len(data.tested) or data.classes
        most = min(5, possible)
        others = not_among(data.tested, data.classes).to(context.device)
        counts = torch.zeros(2, dtype=torch.int64, device=context.device)
        right: list[Tensor] = []
        for index in torch.split(mine, AT_ONCE):
            x = test.load(index).center(self.size).to(context.device, non_blocking=True)
            logits = self._logits(normalise(x, context.data))
            labels = moved(test.labels[index.to(test.labels.device)], context.device)
            lost = ~logits.isfinite().all(1)
            if data.tested:
                logits = logits.masked_fill(others, -torch.inf)
            hits = logits.topk(most, dim=1).indices == labels.view(-1, 1)
            counts += torch.stack([hits.sum(), lost.sum()])
            right.append(hits[:, 0])
        five, lost_count = context.world.sum(counts).tolist()
        if lost_count:
            raise NotFinite(f"the logits of {lost_count} of {len(test)} images were not finite")
        answers = test.labels[mine.to(test.labels.device)]
        measured = accuracies(torch.cat(right)[None], answers, data, context.world.sum)
        found = {f"finetune/{name}": each[0] for name, each in measured.items()}
        if possible > 5:
            found["finetune/top5"] = 100 * five / len(test)
        return found

    def facts(self) -> dict[str, Any]:
        return {"labelled": len(self.images)}

    def _logits(self, x: Tensor) -> Tensor:
        with autocast(self.protocol.precision, x.device):
            made = self.model(x)
        return widen(made)


def labelled(context: Context, protocol: FinetuneTask) -> Images:
    """The training images whose labels are used.

    Raises:
        DataError: see harness.data.labelled; or they are fewer than one batch, or miss a class.
    """
    data, field = context.data, f"tasks.{context.asked.under}"
    images = data.bank
    try:
        if protocol.labels is not None:
            images = images.subset(stratified(images.labels, protocol.labels, data.key))
        elif protocol.labels_file is not None:
            path = context.data_root / protocol.labels_file
            images = images.subset(listed(images, path, protocol.labels_sha256 or "", data.name))
    except DataError as error:
        raise DataError(f"{field}: {error}") from None
    if protocol.batch > len(images):
        raise DataError(
            f"{field}.batch: {protocol.batch} images per step, but only {len(images)} images of "
            f"{data.name} have a label to train with; lower it"
        )
    return images


def training(context: Context) -> TaskTraining[Batch]:
    """The fine-tuning of the parent's network, at its start."""
    return TaskTraining(context, Finetuning(context))


def run(context: Context) -> StageOutcome:
    """Fine-tune the parent's network; see TaskTraining.run."""
    return training(context).run()
