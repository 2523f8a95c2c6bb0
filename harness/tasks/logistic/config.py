"""Declaration of logistic regression on frozen features, its penalty chosen by validation."""

from __future__ import annotations

from harness.spec.declarations import PER_CLASS, Metric, Task, accuracy

TASK = Task(
    kind="logistic",
    function="harness.stage.logistic:run",
    reads=(),
    config="harness.recipe.evaluation:LogisticTask",
    parent="pretrain",
    metrics=(
        accuracy(
            "logistic/top1",
            "accuracy of logistic regression",
            label="logistic regression top-1",
            short="logistic {:.1f} %",
        ),
        accuracy(
            "logistic/mean_per_class",
            "mean of each class's accuracy of logistic regression",
            label="logistic regression mean per class",
            short="logistic {:.1f} % mean per class",
            data_metric=PER_CLASS,
        ),
        accuracy("logistic/validation", "accuracy on training images held out, by which C is set"),
        Metric("logistic/c", "1", "epoch", "chosen inverse strength of the L2 penalty", least=0),
    ),
    reported=("logistic/top1", "logistic/mean_per_class"),
    hours=4.0,
    watched=("logistic/top1", "logistic/mean_per_class"),
    libraries=("torch", "torchvision", "pillow", "scikit-learn", "scipy", "numpy"),
    extra="evaluate",
    protocol="harness.recipe.logistic_words:logistic_words",
)
