"""What the harness must know of the task, without loading torch."""

from __future__ import annotations

from typing import Literal

from harness.recipe.task import TaskSection
from harness.spec.declarations import Task, accuracy

TASK = Task(
    kind="nearest_mean",
    function="nearest_mean.stage:run",
    config="nearest_mean.config:NearestMean",
    reads=(),
    parent="pretrain",
    metrics=(
        accuracy(
            "nearest_mean/top1",
            "accuracy of the nearest class mean",
            label="nearest class mean top-1",
            short="nearest mean {:.1f} %",
        ),
    ),
    reported=("nearest_mean/top1",),
    watched=("nearest_mean/top1",),
    hours=0.5,
)


class NearestMean(TaskSection):
    """Assign each test image to the class whose mean training feature is nearest."""

    kind: Literal["nearest_mean"]
    layer: Literal["backbone", "output"] = "backbone"
