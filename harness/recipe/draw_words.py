"""Results over several draws of the labelled images, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.recipe.knn_words import Trained
from harness.recipe.svm_words import frozen_words

FIRST = {"few_shot": ("mean_per_class", "top1"), "svm_low_shot": ("map",)}
"""The metrics whose interval is measured, by kind; of several the first that there is."""


def draw_protocol(said: Mapping[str, Any], data: Mapping[str, Any], trained: Trained) -> str:
    """E.g. "k 5, C 1, backbone, each of length 1, centre crops of cifar10, mean over 10 draws": the
    protocol of a task with draws.

    Args:
        said: the task's section as JSON values.
        data: the data that it uses; of a task with `images` of its own, the run's.
    """
    del trained
    grid = ", ".join(f"{c:g}" for c in said["c"])
    c = f"C {grid}"
    if len(said["c"]) > 1:
        most = min(said["folds"], said["shots"][0])
        c = f"C of {grid} chosen by {most}-fold cross-validation inside each draw"
    seen = frozen_words(said, data)
    return f"k {said['shots'][0]}, {c}, {seen}, mean over {said['draws']} draws"


def interval_words(said: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """The mean and the interval over draws at each k; "" if there are none.

    Args:
        said: the task's section as JSON values; of any task.
        values: of the stage's result.
    """
    if not {"shots", "draws"} <= said.keys():
        return ""
    kind, found = said["kind"], []
    for n, k in enumerate(said["shots"]):
        variant = f"@k{k}" if n else ""
        names = (f"{kind}/{metric}{variant}" for metric in FIRST.get(kind, ()))
        name = next((name for name in names if name in values), "")
        width = values.get(f"{kind}/half_width_over_draws{variant}")
        if name and isinstance(width, int | float):
            found.append(f"k {k}: {values[name]:.2f} ± {width:.2f}")
    if not found:
        return ""
    metric = next(m for m in FIRST[kind] if f"{kind}/{m}" in values)
    return (
        f"95 % interval over {said['draws']} draws of one network, not over seeds, of "
        f"{kind}/{metric} in %: {', '.join(found)}"
    )


def interval_of_stage(described: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """As interval_words, of a stage's records."""
    said = described["recipe"].get("tasks", {}).get(described.get("task"), {})
    return interval_words(said, result.get("values", {}))
