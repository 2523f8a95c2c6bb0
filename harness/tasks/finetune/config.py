"""Declaration of fine-tuning: classification where all layers of the parent's backbone train."""

from __future__ import annotations

from harness.spec.declarations import PER_CLASS, Task, accuracy, of_steps

TASK = Task(
    kind="finetune",
    function="harness.stage.finetune:run",
    reads=(),
    config="harness.recipe.finetune:FinetuneTask",
    parent="pretrain",
    metrics=(
        *of_steps("finetune", "fine-tuning", "cross-entropy of fine-tuning"),
        accuracy(
            "finetune/top1",
            "accuracy of the fine-tuned network",
            label="fine-tuned top-1",
            short="fine-tuned {:.1f} %",
        ),
        accuracy(
            "finetune/mean_per_class",
            "mean of each class's accuracy of the fine-tuned network",
            label="fine-tuned mean per class",
            short="fine-tuned {:.1f} % mean per class",
            data_metric=PER_CLASS,
        ),
        accuracy(
            "finetune/top5",
            "top-5 accuracy of the fine-tuned network",
            label="fine-tuned top-5",
        ),
    ),
    reported=("finetune/top1", "finetune/mean_per_class"),
    hours=24.0,
    watched=(
        "finetune/loss",
        "finetune/top1",
        "finetune/mean_per_class",
        "finetune/images_per_s",
    ),
    progress="tasks",
)
"""top5 only of data with more than five classes."""
