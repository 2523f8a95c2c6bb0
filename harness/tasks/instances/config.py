"""Declaration of instance segmentation, by boxes and masks of the task's own."""

from __future__ import annotations

from harness.spec.declarations import Task, accuracy, of_steps
from harness.tasks.detection.config import boxes

TASK = Task(
    kind="instances",
    function="harness.stage.detection:run",
    reads=(),
    config="harness.recipe.detection:InstanceTask",
    parent="pretrain",
    metrics=(
        *of_steps(
            "instances",
            "instance segmentation",
            "sum of the losses of proposals, classes, boxes and masks",
            "1",
        ),
        *boxes("instances"),
        accuracy(
            "instances/mask_ap",
            "average precision of masks over overlaps of 0.50 to 0.95",
            label="mask AP",
        ),
        accuracy(
            "instances/mask_ap50",
            "average precision of masks at an overlap of 0.50",
            label="mask AP50",
        ),
        accuracy(
            "instances/mask_ap75",
            "average precision of masks at an overlap of 0.75",
            label="mask AP75",
        ),
    ),
    reported=(
        "instances/ap",
        "instances/ap50",
        "instances/ap75",
        "instances/mask_ap",
        "instances/mask_ap50",
        "instances/mask_ap75",
    ),
    hours=24.0,
    watched=("instances/loss", "instances/ap", "instances/images_per_s"),
    progress="tasks",
    labels=False,
    pictures="Detections",
)
"""The labels of the run's own data are not read."""
