"""Declaration of the kNN evaluation: weighted k nearest neighbours on frozen features."""

from __future__ import annotations

from harness.spec.declarations import PER_CLASS, Task, accuracy

TASK = Task(
    kind="knn",
    function="harness.stage.knn:run",
    reads=("knn",),
    config="harness.recipe.evaluation:KnnTask",
    parent="pretrain",
    metrics=(
        accuracy(
            "knn/top1",
            "accuracy of the weighted kNN classifier",
            label="kNN top-1",
            short="kNN {:.1f} %",
        ),
        accuracy(
            "knn/mean_per_class",
            "mean of each class's accuracy of the weighted kNN classifier",
            label="kNN mean per class",
            short="kNN {:.1f} % mean per class",
            data_metric=PER_CLASS,
        ),
    ),
    reported=("knn/top1", "knn/mean_per_class"),
    section="knn",
    hours=1.0,
    watched=("knn/top1", "knn/mean_per_class"),
    protocol="harness.recipe.knn_words:knn_words",
    look="harness.look.neighbours:look",
)
