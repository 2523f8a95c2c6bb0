"""Declaration of detection, by boxes of the task's own."""

from __future__ import annotations

from harness.spec.declarations import Metric, Task, accuracy, of_steps


def boxes(task: str) -> tuple[Metric, ...]:
    """The average precisions of a task's boxes."""
    return (
        accuracy(
            f"{task}/ap",
            "average precision of boxes over overlaps of 0.50 to 0.95",
            label="box AP",
            short="AP {:.1f} %",
        ),
        accuracy(
            f"{task}/ap50",
            "average precision of boxes at an overlap of 0.50",
            label="box AP50",
        ),
        accuracy(
            f"{task}/ap75",
            "average precision of boxes at an overlap of 0.75",
            label="box AP75",
        ),
        Metric(
            f"{task}/class_ap",
            "%",
            "epoch",
            "average precision of the boxes of one class",
            "higher",
            label="box AP",
            least=0.0,
            most=100.0,
            each="class",
        ),
    )


TASK = Task(
    kind="detection",
    function="harness.stage.detection:run",
    reads=(),
    config="harness.recipe.detection:DetectionTask",
    parent="pretrain",
    metrics=(
        *of_steps(
            "detection", "detection", "sum of the losses of proposals, classes and boxes", "1"
        ),
        *boxes("detection"),
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
