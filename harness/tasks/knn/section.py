"""Weighted k-nearest-neighbour accuracy on other data, or by another protocol."""

from __future__ import annotations

from typing import Literal

from harness.recipe.evaluation import Knn
from harness.recipe.task import TaskSection


class KnnTask(TaskSection, Knn):
    """The fields of the recipe's `knn`, and those of every task."""

    kind: Literal["knn"]
