"""A linear probe on other data, or by another protocol."""

from __future__ import annotations

from typing import Literal

from harness.recipe.evaluation import Linear
from harness.recipe.task import TaskSection


class LinearTask(TaskSection, Linear):
    """The fields of the recipe's `linear`, and those of every task."""

    kind: Literal["linear"]
