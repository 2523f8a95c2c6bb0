"""The kNN stage: the reported kNN accuracy, from the last checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from harness.data.datasets import DataSet
from harness.data.images import Images
from harness.errors import DataError
from harness.evaluate.accuracy import accuracies
from harness.evaluate.features import Kept, extract
from harness.evaluate.knn import check_distinct, knn_right
from harness.model.encoder import Encoder
from harness.recipe.schema import Knn, Recipe
from harness.runtime import keyed
from harness.runtime.world import World
from harness.stage import frozen
from harness.stage.context import Context, StageOutcome, finite
from harness.stage.features import Shared


def check_neighbours(protocol: Knn, data: DataSet) -> None:
    """Check before training that there are enough images for the recipe's k.

    Raises:
        DataError: k exceeds the number of images in the bank.
    """
    most, there = max(protocol.k), len(data.bank)
    if most > there:
        raise DataError(f"knn.k: {most} neighbours, but {data.name} has only {there} images")


def measure(
    encoder: Encoder,
    recipe: Recipe,
    protocol: Knn,
    data: DataSet,
    world: World,
    pausing: Callable[[], object] = lambda: None,
    size: int | None = None,
    kept: Kept | None = None,
    extracting: Callable[..., Tensor] = extract,
) -> dict[str, float]:
    """{"knn/top1": percent at the first k, "knn/top1@k20": at the others}, by the protocol; and
    "knn/mean_per_class" on data that is published with it.

    `pausing`: see `extract`. `size`: side of the views in pixels; None: the recipe's.
    `kept`: see `extract`; of the bank's images, not with a Shared.
    `extracting`: how features are got: `extract`, or a Shared.

    Raises:
        NotFinite: the features allow no accuracy.
    """
    queries: Images = data.test
    if protocol.queries is not None and protocol.queries < len(queries):
        chosen = keyed.permutation(keyed.key("queries", data.name), len(queries))
        queries = queries.subset(chosen[: protocol.queries].sort().values)
    for_bank: dict[str, Any] = {} if kept is None else {"kept": kept}
    features = [
        extracting(
            encoder,
            data,
            images,
            size=size or recipe.data.size,
            layer=protocol.layer,
            precision=recipe.precision,
            world=world,
            pausing=pausing,
            **more,
        )
        for images, more in ((queries, {}), (data.bank, for_bank))
    ]
    check_distinct(features[1], data.bank.labels)
    mine = slice(world.rank, None, world.size)
    right = knn_right(
        features[0][mine],
        queries.labels[mine],
        features[1],
        data.bank.labels,
        k=protocol.k,
        temperature=protocol.temperature,
        classes=data.classes,
        only=data.tested,
    )
    return {
        f"knn/{metric}" + (f"@k{k}" if n else ""): value
        for metric, values in accuracies(right, queries.labels[mine], data, world.sum).items()
        for n, (k, value) in enumerate(zip(protocol.k, values, strict=True))
    }


def run(context: Context) -> StageOutcome:
    """Measure the parent's encoder.

    Raises:
        Interrupted: asked to stop; the next attempt starts from the beginning.
        Diverged: the features are not finite.
        StoreError, DataError: see frozen.encoder.
    """
    assert context.parent is not None
    parent = context.parent.result
    protocol: Knn = context.section
    check_neighbours(protocol, context.data)
    context.reporter.begin(context.folder.id, total=1, done=0, steps_per_epoch=1)
    step = int(parent["step"]) if parent else 0
    encoder = frozen.encoder(context, protocol.layer)
    with finite(step):
        values = measure(
            encoder,
            context.recipe,
            protocol,
            context.data,
            context.world,
            context.pause,
            context.asked.data(context.recipe).size,
            extracting=Shared(context),
        )
    context.record(
        [
            {
                "step": step,
                "epoch": context.recipe.optim.epochs,
                "t": round(time.time(), 1),
                **values,
            }
        ]
    )
    context.reporter.advance(1, values)
    return StageOutcome(step, values, {"weights": parent.get("weights") if parent else None})
