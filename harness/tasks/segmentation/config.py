"""Declaration of semantic segmentation, by masks of the task's own."""

from __future__ import annotations

from harness.spec.declarations import Metric, Task, accuracy, of_steps

TASK = Task(
    kind="segmentation",
    function="harness.stage.segmentation:run",
    reads=(),
    config="harness.recipe.segmentation:SegmentationTask",
    parent="pretrain",
    metrics=(
        *of_steps("segmentation", "segmentation", "cross-entropy of segmentation, per pixel"),
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
