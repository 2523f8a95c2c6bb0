"""Declaration of detection, by boxes of the task's own."""

from __future__ import annotations

from harness.spec.declarations import Metric, Task, accuracy

TASK = Task(
    kind="detection",
    function="harness.stage.detection:run",
    reads=(),
    config="harness.recipe.detection:DetectionTask",
    parent="pretrain",
    metrics=(
        Metric(
            "detection/loss",
            "1",
            "step",
            "sum of the losses of proposals, classes and boxes",
            "lower",
            short="loss {:.3f}",
        ),
        Metric("detection/lr", "1", "step", "learning rate of detection", least=0),
        Metric(
            "detection/images_per_s",
            "images/s",
            "step",
            "images a second of detection, all processes",
            "higher",
            short="{:,.0f} images/s",
            least=0,
        ),
        accuracy(
            "detection/ap",
            "average precision of boxes over overlaps of 0.50 to 0.95",
            label="box AP",
            short="AP {:.1f} %",
        ),
        accuracy(
            "detection/ap50",
            "average precision of boxes at an overlap of 0.50",
            label="box AP50",
        ),
        accuracy(
            "detection/ap75",
            "average precision of boxes at an overlap of 0.75",
            label="box AP75",
        ),
        Metric(
            "detection/class_ap",
            "%",
            "epoch",
            "average precision of the boxes of one class",
            "higher",
            label="box AP",
            least=0.0,
            most=100.0,
            each="class",
        ),
    ),
    reported=(
        "detection/ap",
        "detection/ap50",
        "detection/ap75",
    ),
    hours=24.0,
    watched=("detection/loss", "detection/ap", "detection/images_per_s"),
    progress="tasks",
    labels=False,
    pictures="Detections",
)
"""The labels of the run's own data are not read."""
