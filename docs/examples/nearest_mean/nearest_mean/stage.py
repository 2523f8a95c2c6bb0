"""Run a stage of the task."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.stage import frozen_task
from harness.stage.context import Context, StageOutcome, finite
from nearest_mean.config import NearestMean


def run(context: Context) -> StageOutcome:
    """Measure the parent's frozen network on the task's data."""
    said: NearestMean = context.section
    data, step = context.data, frozen_task.parents_step(context)
    context.reporter.begin(context.folder.id, total=1, done=0, steps_per_epoch=1)
    with finite(step):  # features that are not finite end the stage as diverged
        bank, test = frozen_task.features(
            context,
            data,
            data.bank,
            data.test,
            size=context.asked.data(context.recipe).size,
            layer=said.layer,
        )
    bank, test = F.normalize(bank), F.normalize(test)
    means = torch.zeros(data.classes, bank.shape[1])  # (classes, d)
    means.index_add_(0, data.bank.labels, bank)
    nearest = (test @ F.normalize(means).T).argmax(1)
    right = (nearest == data.test.labels).float().mean().item()
    values = {"nearest_mean/top1": 100 * right}
    context.reporter.advance(1, values)
    return frozen_task.ended(context, step, values, {}, chosen={})
