"""Doubts about the evaluation: k and temperature of kNN, the rate of the linear probe, and targets
that nothing measures."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.preflight.sizes import Count, classes, labelled_images, training_images
from harness.preflight.warned import Doubt
from harness.recipe.evaluation import Knn, Linear
from harness.recipe.identity import specs
from harness.recipe.reported import reported
from harness.recipe.schema import Recipe, Target
from harness.recipe.task import Data

KNN_TEMPERATURES = (0.01, 1.0)
"""Temperatures of kNN at which k still means something. Published protocols have 0.07 and 0.1
(InstDisc; the CIFAR-10 demo), a tenth and ten times as much are the bounds here."""

NEAR = 0.1
"""A difference of cosine similarities, to show what a temperature makes of it."""

PROBE_RATE, PROBE_BATCH = 30.0, 256
"""Rate and batch of the linear probe (v1 Sec. 4.1), for unnormalised features of a ResNet-50
trained on ImageNet. Batches of 2,048 at this rate gave 57.9 in place of 60.6 (moco#132)."""

PROBE_BATCH_FACTOR = 2
"""How far the batch may be from PROBE_BATCH at PROBE_RATE: as RATE_FACTOR of pre-training."""

HIGH_PROBE_RATE = 10.0
"""Rates from here on are of the order of PROBE_RATE."""

FEW_PROBE_STEPS = 10_000
"""Fewer steps than this are few for HIGH_PROBE_RATE. On 10,000 CIFAR-10 images, in 2,400 steps, a
rate of 10 gave 1 to 4 points less than 1 for every cell of two tables (reports/
ablation_mechanisms_cpu, ablation_shuffling_cpu: sensitivity). On
ImageNet-100, in 29,700 steps, HobbitLong/CMC publishes 73.4 % with a rate of 10."""


def doubts(recipe: Recipe, count: Count) -> Iterator[Doubt]:
    """Doubts about each kNN and each linear probe of the recipe, further tasks included, and about
    each target."""
    for name, section, data in _evaluations(recipe):
        images = labelled_images(data, count)
        if isinstance(section, Knn):
            yield from _k(name, section, images, classes(data, count))
            yield from _temperature(name, section)
        elif isinstance(section, Linear):
            yield from _probe(name, section, images)
    for target in recipe.about.targets:
        if why := _unmeasured(recipe, target, training_images(recipe.data, count)):
            yield Doubt("unmeasured-target", f"the target of {target.metric}: {why}")


def _unmeasured(recipe: Recipe, target: Target, images: int | None) -> str:
    """Why no run of the recipe has the target's value; "" if it has, or it is not known."""
    stages = [each for each in specs(recipe).values() if each.under == (target.task or "")]
    if not stages:
        return f"no task under tasks: is called {target.task}"
    if not any(target.metric in reported(each.task, each.data(recipe)) for each in stages):
        return f"{f'tasks.{target.task}' if target.task else 'the recipe'} does not measure it"
    if target.epoch is None:
        return ""
    every, optim = recipe.watch.knn_epochs, recipe.optim
    if target.task is not None and target.task != recipe.watch.knn_task:
        return f"tasks.{target.task} is not monitored"
    an_epoch = images // optim.batch if images is not None else 0
    if optim.steps is not None and not an_epoch:
        return ""
    end = min(optim.epochs, optim.steps / an_epoch) if optim.steps is not None else optim.epochs
    seen = target.epoch == end or (target.epoch < end and every and target.epoch % every == 0)
    return "" if seen else f"kNN is not monitored after epoch {target.epoch}"


def _evaluations(recipe: Recipe) -> Iterator[tuple[str, object, Data]]:
    """(dotted field, section, data)."""
    yield "knn", recipe.knn, recipe.data
    yield "linear", recipe.linear, recipe.data
    for name, said in recipe.tasks.items():
        yield f"tasks.{name}", said, said.data or recipe.data


def _k(name: str, knn: Knn, images: int | None, of: int | None) -> Iterator[Doubt]:
    if not images or not of:
        return
    each = images // of
    if large := [k for k in knn.k if k > each]:
        about = f"about {each:,}" if each else "on average fewer than one"
        yield Doubt(
            "knn-k",
            f"{name}.k: {', '.join(map(str, large))} neighbours, but a class has {about} of "
            f"the {images:,} images: other classes vote even where the features are perfect. "
            f"At most {max(1, each):,} would do",
        )


def _temperature(name: str, knn: Knn) -> Iterator[Doubt]:
    low, high = KNN_TEMPERATURES
    if low <= knn.temperature <= high or knn.k[:1] == (1,):
        return
    exponent = NEAR / knn.temperature
    if knn.temperature < low:
        parts = "infinitely many" if exponent > 700 else f"{math.exp(exponent):.2g}"
        what = f"weighs {parts} of another that is {NEAR:g} less similar, so that k means little"
    else:
        what = (
            f"weighs {math.exp(exponent):.3g} of another that is {NEAR:g} less similar: all "
            "neighbours vote alike"
        )
    yield Doubt("knn-temperature", f"{name}.temperature: at {knn.temperature:g} a neighbour {what}")


def _probe(name: str, probe: Linear, images: int | None) -> Iterator[Doubt]:
    if probe.drops and probe.drops[-1] >= probe.epochs:
        yield Doubt(
            "schedule-cut",
            f"{name}.drops: the drop at epoch {probe.drops[-1]} is never reached in "
            f"{probe.epochs} epochs; give lower ones, or none: []",
        )
    rate = probe.lr[0]
    steps = None if images is None else probe.epochs * math.ceil(images / probe.batch)
    if steps is not None and rate >= HIGH_PROBE_RATE and steps < FEW_PROBE_STEPS:
        yield Doubt(
            "probe-rate",
            f"{name}.lr: {rate:g} for {steps:,} steps on {images:,} images: such a rate is for "
            f"ImageNet's features and steps (v1: {PROBE_RATE:g}, 500,000 steps). On 10,000 "
            "CIFAR-10 images, in 2,400 steps, 10 gave 1 to 4 points less than 1",
        )
    factor = PROBE_BATCH / probe.batch
    if rate == PROBE_RATE and not 1 / PROBE_BATCH_FACTOR <= factor <= PROBE_BATCH_FACTOR:
        yield Doubt(
            "probe-rate",
            f"{name}.lr: {rate:g} is the paper's for batches of {PROBE_BATCH}, and this one has "
            f"{probe.batch:,}; by the linear rule it would be {rate / factor:.3g}. Batches of "
            "2,048 at 30 gave 57.9 in place of 60.6",
        )
