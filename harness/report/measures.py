"""Declarations of a table's metrics: name, unit, and which direction is better."""

from __future__ import annotations

import re

from harness.recipe.ablation import Metric
from harness.spec.declarations import Metric as Declared
from harness.spec.registry import metrics

_SETTING = re.compile("^([a-z]+)")

COSTS: dict[Metric, Declared] = {
    "cost/memory": Declared(
        "cost/memory", "GB", "epoch", "maximum memory that one device used", "lower",
        "peak memory of a device",
    ),
    "cost/hours": Declared(
        "cost/hours", "hours", "epoch", "hours for 200 epochs at the measured speed", "lower",
        "time of 200 epochs",
    ),
}  # fmt: skip
"""What pre-training itself measures: costs, not accuracies."""


def measure(metric: Metric) -> Declared:
    """The metric's declaration."""
    return COSTS[metric] if metric in COSTS else metrics()[metric]


def is_declared(metric: str) -> bool:
    """Whether it is a metric that the harness or an installed package declares."""
    return metric in COSTS or metric in metrics()


def variant_label(name: str) -> str:
    """The heading of a variant's values, e.g. "kNN top-1, k = 20" of "knn/top1@k20"."""
    base, _, variant = name.partition("@")
    settings = (_SETTING.sub(r"\1 = ", each, count=1) for each in variant.split(","))
    return ", ".join((measure(base).label, *settings))


def difference_unit(metric: Metric) -> str:
    """The unit of a difference of two values: points for percent."""
    return measure(metric).unit.replace("%", "points")
