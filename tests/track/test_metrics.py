from __future__ import annotations

import pytest

from harness.track.metrics import METRICS, axis_of, declared

WRITTEN = {
    "train/loss": "step",
    "train/lr": "step",
    "train/images_per_s": "step",
    "pretext/top1": "step",
    "knn/top1": "epoch",
    "knn/top1@k20": "epoch",
    "linear/loss": "step",
    "linear/top1": "epoch",
    "linear/top1@lr10": "epoch",
}
"""What the loops write and the report reads."""


@pytest.mark.parametrize(("name", "axis"), WRITTEN.items())
def test_what_is_written_is_declared(name: str, axis: str) -> None:
    metric = declared(name)
    assert metric is not None
    assert (metric.name, metric.axis) == (name, axis)
    assert metric.unit
    assert metric.description


@pytest.mark.parametrize("name", ["knn/top7", "knn/top1@", "loss", "", "@k20"])
def test_anything_else_is_not(name: str) -> None:
    assert declared(name) is None
    assert axis_of(name) == "step"


def test_a_variant_keeps_what_its_metric_means() -> None:
    metric = declared("linear/top1@lr10")
    assert metric is not None
    assert metric.better == METRICS["linear/top1"].better == "higher"
    assert "lr10" in metric.description
