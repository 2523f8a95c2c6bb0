"""Declaration of logistic regression on frozen features, its penalty chosen by validation."""

from __future__ import annotations

from harness.spec.declarations import Metric, Task, accuracy

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
        accuracy("logistic/validation", "accuracy on training images held out, by which C is set"),
        Metric("logistic/c", "1", "epoch", "chosen inverse strength of the L2 penalty", least=0),
    ),
    reported=("logistic/top1",),
    hours=4.0,
    watched=("logistic/top1",),
    libraries=("torch", "torchvision", "pillow", "scikit-learn", "scipy", "numpy"),
    extra="evaluate",
)
