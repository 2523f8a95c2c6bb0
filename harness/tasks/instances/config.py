"""Declaration of instance segmentation, by boxes and masks of the task's own."""

from __future__ import annotations

from harness.spec.declarations import Metric, Task, accuracy

TASK = Task(
    kind="instances",
    function="harness.stage.detection:run",
    reads=(),
    config="harness.recipe.detection:InstanceTask",
    parent="pretrain",
    metrics=(
        Metric(
            "instances/loss",
            "1",
            "step",
            "sum of the losses of proposals, classes, boxes and masks",
            "lower",
            short="loss {:.3f}",
        ),
        Metric("instances/lr", "1", "step", "learning rate of instance segmentation", least=0),
        Metric(
            "instances/images_per_s",
            "images/s",
            "step",
            "images a second of instance segmentation, all processes",
            "higher",
            short="{:,.0f} images/s",
            least=0,
        ),
        accuracy(
            "instances/ap",
            "average precision of boxes over overlaps of 0.50 to 0.95",
            label="box AP",
            short="AP {:.1f} %",
        ),
        accuracy(
            "instances/ap50",
            "average precision of boxes at an overlap of 0.50",
            label="box AP50",
        ),
        accuracy(
            "instances/ap75",
            "average precision of boxes at an overlap of 0.75",
            label="box AP75",
        ),
        Metric(
            "instances/class_ap",
            "%",
            "epoch",
            "average precision of the boxes of one class",
            "higher",
            label="box AP",
            least=0.0,
            most=100.0,
            each="class",
        ),
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
