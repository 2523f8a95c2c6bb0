"""Which metrics a stage reports: some are measured only on the data sets published with them."""

from __future__ import annotations

from harness.recipe.identity import specs
from harness.recipe.schema import Recipe
from harness.recipe.task import Data
from harness.spec.declarations import Task
from harness.spec.registry import metrics, task


def is_measured(metric: str, data: Data) -> bool:
    """Whether a stage that uses the data measures the declared metric."""
    return metrics()[metric].data_metric in ("", data.metric)


def reported(task: Task, data: Data) -> tuple[str, ...]:
    """The metrics that a stage of the task reports, the one that the data set is published with
    first."""
    own = [name for name in task.reported if is_measured(name, data)]
    return tuple(sorted(own, key=lambda name: not metrics()[name].data_metric))


def measures(recipe: Recipe, metric: str) -> bool:
    """Whether a stage of the recipe reports the metric."""
    stages = specs(recipe).values()
    return any(metric in reported(each.task, each.data(recipe)) for each in stages)


def judged(recipe: Recipe) -> str:
    """The metric that a single recipe is judged by: of the linear probe if it has one, else of kNN,
    else of its first task under `tasks:`."""
    own = {"linear": recipe.linear, "knn": recipe.knn}
    asked = [(kind, recipe.data) for kind, section in own.items() if section is not None]
    asked += [(each.kind, each.data or recipe.data) for each in recipe.tasks.values()]
    kind, data = next(iter(asked), ("knn", recipe.data))
    return reported(task(kind), data)[0]
