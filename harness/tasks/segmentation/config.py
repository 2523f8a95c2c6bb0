"""Declaration of semantic segmentation, by masks of the task's own."""

from __future__ import annotations

from harness.spec.declarations import Metric, Task, accuracy

TASK = Task(
    kind="segmentation",
    function="harness.stage.segmentation:run",
    reads=(),
    config="harness.recipe.segmentation:SegmentationTask",
    parent="pretrain",
    metrics=(
        Metric(
            "segmentation/loss",
            "nats",
            "step",
            "cross-entropy of segmentation, per pixel",
            "lower",
            short="loss {:.3f}",
        ),
        Metric("segmentation/lr", "1", "step", "learning rate of segmentation", least=0),
        Metric(
            "segmentation/images_per_s",
            "images/s",
            "step",
            "images a second of segmentation, all processes",
            "higher",
            short="{:,.0f} images/s",
            least=0,
        ),
        accuracy(
            "segmentation/miou",
            "mean intersection over union of the test masks' classes",
            label="mIoU",
            short="mIoU {:.1f} %",
        ),
        Metric(
            "segmentation/iou",
            "%",
            "epoch",
            "intersection over union of one class",
            "higher",
            label="IoU",
            least=0.0,
            most=100.0,
            each="class",
        ),
        accuracy("segmentation/accuracy", "share of the test masks' pixels that are correct"),
    ),
    reported=("segmentation/miou",),
    hours=24.0,
    watched=("segmentation/loss", "segmentation/miou", "segmentation/images_per_s"),
    progress="tasks",
    labels=False,
    pictures="Predicted masks",
)
"""The labels of the run's own data are not read."""
