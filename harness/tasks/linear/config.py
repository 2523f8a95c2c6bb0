"""Declaration of the linear probe: a linear classifier trained on frozen features."""

from __future__ import annotations

from harness.spec.declarations import PER_CLASS, Metric, Task, accuracy

TASK = Task(
    kind="linear",
    function="harness.stage.linear:run",
    reads=("linear",),
    config="harness.recipe.evaluation:LinearTask",
    parent="pretrain",
    metrics=(
        Metric(
            "linear/loss",
            "nats",
            "step",
            "cross-entropy of the linear probe",
            "lower",
            short="loss {:.3f}",
        ),
        Metric("linear/lr", "1", "step", "learning rate of the linear probe", least=0),
        Metric(
            "linear/images_per_s",
            "images/s",
            "step",
            "images a second of the probe",
            "higher",
            least=0,
        ),
        accuracy(
            "linear/top1",
            "accuracy of the linear probe",
            label="linear probe top-1",
            short="linear {:.1f} %",
        ),
        accuracy(
            "linear/mean_per_class",
            "mean of each class's accuracy of the linear probe",
            label="linear probe mean per class",
            short="linear {:.1f} % mean per class",
            data_metric=PER_CLASS,
        ),
        accuracy("linear/top5", "top-5 accuracy of the linear probe"),
    ),
    reported=("linear/top1", "linear/mean_per_class"),
    section="linear",
    hours=12.0,
    watched=("linear/loss", "linear/top1", "linear/mean_per_class"),
    progress="linear",
    protocol="harness.recipe.linear_words:linear_words",
)
