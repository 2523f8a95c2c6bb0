"""Declaration of few-shot classification: logistic regression on k images a class."""

from __future__ import annotations

from harness.spec.declarations import PER_CLASS, Metric, Task, accuracy

TASK = Task(
    kind="few_shot",
    function="harness.stage.few_shot:run",
    reads=(),
    config="harness.recipe.few_shot:FewShotTask",
    parent="pretrain",
    metrics=(
        accuracy(
            "few_shot/top1",
            "accuracy with k labelled images a class, mean over draws",
            label="few-shot top-1, mean over draws",
            short="few-shot {:.1f} %",
        ),
        accuracy(
            "few_shot/mean_per_class",
            "mean of each class's accuracy with k labelled images a class, mean over draws",
            label="few-shot mean per class, mean over draws",
            short="few-shot {:.1f} % mean per class",
            data_metric=PER_CLASS,
        ),
        Metric(
            "few_shot/half_width_over_draws",
            "points",
            "epoch",
            "half width of the 95 % interval over draws of one network, not over seeds",
            label="half width of the 95 % interval over draws",
            short="± {:.1f} over draws",
            least=0,
        ),
    ),
    reported=("few_shot/top1", "few_shot/mean_per_class"),
    hours=4.0,
    watched=("few_shot/top1", "few_shot/mean_per_class", "few_shot/half_width_over_draws"),
    libraries=("torch", "torchvision", "pillow", "scikit-learn", "scipy", "numpy"),
    extra="evaluate",
)
