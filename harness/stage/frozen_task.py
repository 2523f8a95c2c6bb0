"""What tasks that fit classifiers on frozen features share: the features, and how a stage ends."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from harness.data.datasets import DataSet
from harness.data.images import Images
from harness.stage import frozen
from harness.stage.context import Context, StageOutcome
from harness.stage.features import Shared


def features(
    context: Context,
    data: DataSet,
    *parts: Images,
    size: int,
    layer: Literal["backbone", "output"],
) -> list[Tensor]:
    """The parent's features of each of `parts`, float32 (n, d) in the order of its images, on every
    process.

    Args:
        size: side of the square that the encoder sees, in pixels.
        layer: the layer that is read.

    Raises:
        NotFinite, Interrupted: see features.Shared.
        StoreError, DataError: see frozen.encoder.
    """
    encoder = frozen.encoder(context, layer)
    shared = Shared(context)
    return [
        shared(
            encoder,
            data,
            part,
            size=size,
            layer=layer,
            precision=context.recipe.precision,
            world=context.world,
            pausing=context.pause,
        )
        for part in parts
    ]


def parents_step(context: Context) -> int:
    """The last step of the pre-training that is evaluated."""
    assert context.parent is not None
    result = context.parent.result
    return int(result["step"]) if result else 0


def ended(
    context: Context,
    step: int,
    values: dict[str, float],
    facts: Mapping[str, Any],
    *,
    chosen: Mapping[str, Any],
) -> StageOutcome:
    """Write the one record of the journal; returns the outcome.

    Args:
        step: the parent's.
        facts: for result.json, beside the digest of the weights.
        chosen: what the record adds to the task's protocol.
    """
    assert context.parent is not None
    said = context.section.model_dump(mode="json")
    record = {"step": step, "epoch": context.recipe.optim.epochs, "t": round(time.time(), 1)}
    context.record([{**record, **values, "protocol": said | dict(chosen)}])
    weights = (context.parent.result or {}).get("weights")
    return StageOutcome(step, values, {"weights": weights, **facts})
