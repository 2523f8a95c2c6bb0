"""Every declared task and metric: the harness's own, and those of installed packages.

A package declares a task by an entry point of the group "moco_harness.tasks" that names its
`Task`. Entry points are looked up when a declaration is first asked for, never to show help.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points

from harness.errors import HarnessError
from harness.spec.declarations import Axis, Metric, Task

TASKS = (
    "harness.tasks.pretrain.config",
    "harness.tasks.knn.config",
    "harness.tasks.linear.config",
)
"""The modules that declare the harness's own tasks, as TASK."""

GROUP = "moco_harness.tasks"


@functools.cache
def tasks() -> dict[str, Task]:
    """Every task by its kind, parents before what builds on them.

    Raises:
        HarnessError: an installed package declares what is no task, or a name that is taken.
    """
    own = [(name, importlib.import_module(name).TASK) for name in TASKS]
    found: dict[str, Task] = {}
    metrics_of: dict[str, str] = {}
    for source, task in [*own, *_installed()]:
        if not isinstance(task, Task):
            raise HarnessError(f"{source}: declares no task, but a {type(task).__name__}")
        if task.kind in found:
            raise HarnessError(f"{source}: a task is called {task.kind} already")
        for metric in task.metrics:
            if metrics_of.setdefault(metric.name, task.kind) != task.kind:
                other = metrics_of[metric.name]
                raise HarnessError(f"{source}: {metric.name} is a metric of {other} already")
        found[task.kind] = task
    for task in found.values():
        if task.parent is not None and task.parent not in found:
            raise HarnessError(f"the task {task.kind} builds on {task.parent}, which nothing is")
    return dict(_parents_first(found))


def task(kind: str) -> Task:
    """The task of that kind. Raises KeyError if none is declared."""
    return tasks()[kind]


@functools.cache
def metrics() -> dict[str, Metric]:
    """Every declared metric by its name, in the order of the tasks."""
    return {metric.name: metric for each in tasks().values() for metric in each.metrics}


@functools.cache
def task_of() -> dict[str, str]:
    """By name of a reported metric, the kind of the task that measures it."""
    return {name: each.kind for each in tasks().values() for name in each.reported}


def forget() -> None:
    """Look for declarations anew when they are next asked for."""
    for kept in (tasks, metrics, task_of):
        kept.cache_clear()


def declared(name: str) -> Metric | None:
    """The declaration of `name`, its "@" variant included; None if nobody declared it."""
    base, at, variant = name.partition("@")
    metric = metrics().get(base)
    if metric is None or not at:
        return metric
    return metric.variant(name) if variant else None


def axis_of(name: str) -> Axis:
    """What to draw `name` against; an undeclared metric against the step."""
    metric = declared(name)
    return metric.axis if metric else "step"


def _installed() -> Iterator[tuple[str, object]]:
    """What installed packages declare, in the order of their names."""
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            yield f"{point.name} ({point.value})", point.load()
        except Exception as error:
            raise HarnessError(
                f"{point.name} ({point.value}): cannot be loaded: {error}"
            ) from error


def _parents_first(found: dict[str, Task]) -> Iterable[tuple[str, Task]]:
    """The tasks in the order of declaration, but none before its parent."""
    done: dict[str, Task] = {}

    def place(each: Task, above: tuple[str, ...]) -> None:
        if each.kind in above:
            raise HarnessError(f"tasks build on each other: {' -> '.join((*above, each.kind))}")
        if each.parent is not None:
            place(found[each.parent], (*above, each.kind))
        done.setdefault(each.kind, each)

    for each in found.values():
        place(each, ())
    return done.items()
