"""Declaration of pre-training: it learns the representation, monitored by kNN."""

from __future__ import annotations

from harness.spec.declarations import Metric, Task

TASK = Task(
    kind="pretrain",
    function="harness.stage.pretrain:run",
    reads=(
        "seed",
        "continue_from",
        "data",
        "augment",
        "views",
        "model",
        "contrast",
        "optim",
        "precision",
    ),
    parent=None,
    metrics=(
        Metric(
            "train/loss",
            "nats",
            "step",
            "loss of pre-training",
            "lower",
            label="training loss",
            short="loss {:.3f}",
        ),
        Metric("train/lr", "1", "step", "learning rate of pre-training", least=0),
        Metric(
            "train/images_per_s",
            "images/s",
            "step",
            "images a second, all processes",
            "higher",
            short="{:,.0f} images/s",
            least=0,
        ),
        Metric(
            "pretext/top1",
            "%",
            "step",
            "how often the positive key, or the class of a supervised run, scores highest",
            "higher",
            label="pretext accuracy",
            least=0,
            most=100,
        ),
    ),
    reported=(),
    hours=24.0,
    watched=("train/loss", "knn/top1", "knn/mean_per_class", "train/images_per_s"),
    progress="optim",
    trains=True,
    labels=False,
)
