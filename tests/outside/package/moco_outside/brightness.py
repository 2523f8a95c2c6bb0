"""A task that trains, is checkpointed at every step, and has figures in two units."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from harness.data.images import Images
from harness.evaluate.features import extract
from harness.runtime import keyed
from harness.stage import frozen
from harness.stage.context import Context, Interrupted, StageOutcome
from moco_outside.config import Brightness

NEAR = 16 / 255


def run(context: Context) -> StageOutcome:
    """Fit the map by gradient descent on a keyed half of the training images; tell the last step's
    figures on the test images."""
    said: Brightness = context.section
    encoder = frozen.encoder(context, "backbone")
    size = context.asked.data(context.recipe).size

    def of(images: Images) -> tuple[Tensor, Tensor]:
        x = extract(
            encoder,
            context.data,
            images,
            size=size,
            layer="backbone",
            precision=context.recipe.precision,
            world=context.world,
        )
        pixels = images.load(torch.arange(len(images))).center(size)
        return x, pixels.mean((1, 2, 3))

    (x, wanted), (test, test_wanted) = of(context.data.bank), of(context.data.test)
    key = keyed.key(*context.stream("brightness"))
    half = keyed.permutation(key, len(x))[: len(x) // 2]
    weight, step = torch.zeros(x.shape[1]), 0
    if (found := context.restore()) is not None:
        step, weight = found[0], found[1]["weight"]
    context.reporter.begin(context.folder.id, total=said.steps, done=step, steps_per_epoch=1)
    figures: dict[str, float] = {}
    while step < said.steps or not figures:
        if step < said.steps:
            error = x[half] @ weight - wanted[half]
            weight = weight - said.rate * (x[half].T @ error) / len(half)
            step += 1
        apart = (test @ weight - test_wanted).abs()
        figures = {
            "brightness/error": 255 * apart.mean().item(),
            "brightness/near": 100 * (apart < NEAR).float().mean().item(),
        }
        context.record([{"step": step, "epoch": step, "t": round(time.time(), 1), **figures}])
        context.save(step, {"weight": weight})
        context.reporter.advance(step, figures)
        if context.asked_to_stop(synchronising=True) and step < said.steps:
            context.wait_for_checkpoint()
            raise Interrupted
    context.wait_for_checkpoint()
    above = context.parent.result if context.parent else None
    return StageOutcome(step, figures, {"weights": (above or {}).get("weights")})
