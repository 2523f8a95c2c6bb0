"""Declaration of the kNN evaluation: weighted k nearest neighbours on frozen features."""

from __future__ import annotations

from harness.spec.declarations import Task, accuracy

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
    ),
    reported=("knn/top1",),
    section="knn",
    hours=1.0,
    watched=("knn/top1",),
)
