"""What the harness measures: each metric's name, unit, axis and which way is better.

A name may carry a variant after "@": "knn/top1@k20" is "knn/top1" with another k, and
"linear/top1@lr10" is "linear/top1" at another learning rate.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

Axis = Literal["step", "epoch"]
Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """One declared metric.

    Attributes:
        axis: what it is drawn against; evaluations belong to epochs, training to steps.
        better: which way is an improvement; None where neither is.
    """

    name: str
    unit: str
    axis: Axis
    description: str
    better: Better | None = None


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("train/loss", "nats", "step", "contrastive loss of pre-training", "lower"),
        Metric("train/lr", "1", "step", "learning rate of pre-training"),
        Metric(
            "train/images_per_s", "images/s", "step", "images a second, all processes", "higher"
        ),
        Metric("pretext/top1", "%", "step", "how often the positive key scores highest", "higher"),
        Metric("knn/top1", "%", "epoch", "accuracy of the weighted kNN classifier", "higher"),
        Metric("linear/loss", "nats", "step", "cross-entropy of the linear probe", "lower"),
        Metric("linear/lr", "1", "step", "learning rate of the linear probe"),
        Metric("linear/images_per_s", "images/s", "step", "images a second of the probe", "higher"),
        Metric("linear/top1", "%", "epoch", "accuracy of the linear probe", "higher"),
        Metric("linear/top5", "%", "epoch", "top-5 accuracy of the linear probe", "higher"),
    )
}
"""Every metric that a journal may hold, by name."""

NOT_METRICS = frozenset({"step", "epoch", "t", "protocol"})
"""The keys of a journal record that say when and how, not what."""


def declared(name: str) -> Metric | None:
    """The declaration of `name`, its "@" variant included; None if nobody declared it."""
    base, at, variant = name.partition("@")
    metric = METRICS.get(base)
    if metric is None or not at:
        return metric
    if not variant:
        return None
    return dataclasses.replace(
        metric, name=name, description=f"{metric.description}, variant {variant}"
    )


def axis_of(name: str) -> Axis:
    """What to draw `name` against; an undeclared metric against the step."""
    metric = declared(name)
    return metric.axis if metric else "step"
