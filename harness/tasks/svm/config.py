"""Declaration of VOC classification by linear SVMs, with all labels."""

from __future__ import annotations

from dataclasses import replace

from harness.spec.declarations import Task, accuracy

TASK = Task(
    kind="svm",
    function="harness.stage.svm:run",
    reads=(),
    config="harness.recipe.svm:SvmTask",
    parent="pretrain",
    metrics=(
        accuracy(
            "svm/map",
            "mean over classes of the 11-point AP of linear SVMs (VOC 2007)",
            label="SVM mAP, 11 points",
            short="SVM mAP {:.1f} %",
        ),
        accuracy(
            "svm/map_area",
            "mean over classes of the area under precision and recall of linear SVMs (mmselfsup)",
            label="SVM mAP, area",
        ),
        replace(accuracy("svm/ap", "11-point AP of one class", label="SVM AP"), each="class"),
    ),
    reported=("svm/map", "svm/map_area"),
    hours=8.0,
    watched=("svm/map",),
    libraries=("torch", "torchvision", "pillow", "scikit-learn", "scipy", "numpy"),
    labels=False,
    extra="evaluate",
    protocol="harness.recipe.svm_words:svm_words",
)
"""The labels of the run's own data are not read."""
