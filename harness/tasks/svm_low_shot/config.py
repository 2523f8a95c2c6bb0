"""Declaration of low-shot VOC classification by linear SVMs on k images a class."""

from __future__ import annotations

from harness.spec.declarations import Metric, Task, accuracy

TASK = Task(
    kind="svm_low_shot",
    function="harness.stage.svm_low_shot:run",
    reads=(),
    config="harness.recipe.svm:SvmLowShotTask",
    parent="pretrain",
    metrics=(
        accuracy(
            "svm_low_shot/map",
            "11-point mAP of linear SVMs with k images a class, mean over draws",
            label="low-shot SVM mAP, 11 points, mean over draws",
            short="low-shot SVM mAP {:.1f} %",
        ),
        accuracy(
            "svm_low_shot/map_area",
            "area mAP of linear SVMs with k images a class, mean over draws",
            label="low-shot SVM mAP, area, mean over draws",
        ),
        Metric(
            "svm_low_shot/half_width_over_draws",
            "points",
            "epoch",
            "half width of the 95 % interval over draws of the 11-point mAP of one network, "
            "not over seeds",
            label="half width of the 95 % interval over draws",
            short="± {:.1f} over draws",
            least=0,
        ),
    ),
    reported=("svm_low_shot/map", "svm_low_shot/map_area"),
    hours=8.0,
    watched=("svm_low_shot/map", "svm_low_shot/half_width_over_draws"),
    libraries=("torch", "torchvision", "pillow", "scikit-learn", "scipy", "numpy"),
    labels=False,
    extra="evaluate",
)
"""The labels of the run's own data are not read."""
