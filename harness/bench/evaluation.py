"""Time evaluation: kNN and its similarity product, the probe with all rates and one, features."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.bench.clock import Timing, measure
from harness.data.datasets import DataSet
from harness.evaluate.features import extract
from harness.evaluate.knn import ELEMENTS, knn_right
from harness.evaluate.linear_probe import LinearProbe
from harness.model.encoder import Encoder
from harness.recipe.schema import Linear, Recipe
from harness.runtime.world import World

IMAGENET = (50_000, 1_281_167)
"""Queries and bank of ImageNet-1M."""


def knn(
    device: torch.device,
    *,
    queries: int,
    bank: int,
    dim: int,
    k: tuple[int, ...],
    rounds: int,
    classes: int = 10,
) -> dict[str, Timing]:
    """Seconds of "product", the (queries, bank) similarities alone in the same chunks, and "knn".

    Features are random: the time does not depend on their values.
    """
    generator = torch.Generator().manual_seed(0)
    asked, known = (
        F.normalize(torch.randn(n, dim, generator=generator), dim=1).to(device)
        for n in (queries, bank)
    )
    answers, labels = (
        torch.randint(classes, (n,), generator=generator).to(device) for n in (queries, bank)
    )
    chunk = max(1, ELEMENTS // bank)

    def product() -> None:
        memory = asked.new_empty(min(chunk, queries), bank)
        for rows in torch.split(asked, chunk):
            torch.mm(rows, known.T, out=memory[: len(rows)])

    def whole() -> None:
        knn_right(asked, answers, known, labels, k=k, temperature=0.1, classes=classes)

    return measure({"product": product, "knn": whole}, device, rounds=rounds, warm_up=1)


def encode(
    encoder: Encoder, data: DataSet, recipe: Recipe, *, world: World, rounds: int
) -> dict[str, Timing]:
    """Seconds per image of "encode": read the evaluation view and pass it through the encoder, in
    batches of the recipe's size."""
    there = data.test if len(data.test) else data.train
    images = there.subset(torch.arange(min(recipe.optim.batch, len(there))))

    def whole() -> None:
        extract(
            encoder,
            data,
            images,
            size=recipe.data.size,
            layer="output" if recipe.reads_output else "backbone",
            precision=recipe.precision,
            world=world,
        )

    found = measure({"encode": whole}, world.device, rounds=rounds, warm_up=1)
    return {name: timing.over(len(images)) for name, timing in found.items()}


def projected(seconds: float, *, queries: int, bank: int) -> float:
    """Seconds that kNN would take on ImageNet: the work is proportional to queries x bank."""
    return seconds * IMAGENET[0] / queries * IMAGENET[1] / bank


def probe(
    device: torch.device, protocol: Linear, *, dim: int, classes: int, rounds: int, steps: int = 20
) -> dict[str, Timing]:
    """Seconds per step of "one rate" and "all rates", on features that are already computed."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(protocol.batch, dim, generator=generator).to(device)
    labels = torch.randint(classes, (protocol.batch,), generator=generator).to(device)
    alone = protocol.model_copy(
        update={"lr": protocol.lr[:1], "weight_decay": protocol.weight_decay[:1]}
    )
    probes = {
        name: LinearProbe(each, dim=dim, classes=classes, stream=(0, "linear"), device=device)
        for name, each in (("one rate", alone), ("all rates", protocol))
    }

    def run(one: LinearProbe) -> None:
        for _ in range(steps):
            one.step(features, labels, 0)

    found = measure(
        {name: lambda one=one: run(one) for name, one in probes.items()},  # type: ignore[misc]
        device,
        rounds=rounds,
        warm_up=1,
    )
    return {name: timing.over(steps) for name, timing in found.items()}
