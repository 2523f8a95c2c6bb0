"""Registry: every declared task, method, optimiser, metric, launcher and tracker.

A package outside the harness declares its own by entry points. An entry point of the group
"moco_harness.tasks" names a `Task`, of "moco_harness.methods" a `Method`, of
"moco_harness.optimisers" an `Optimiser`, of "moco_harness.launchers" a `Launcher`, of
"moco_harness.trackers" a `Tracker`. Entry points are read when a declaration is first needed, never
to show help.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.metadata import Distribution, entry_points
from typing import TypeVar

from harness.errors import HarnessError
from harness.spec.declarations import Axis, Launcher, Method, Metric, Optimiser, Task, Tracker

D = TypeVar("D", Task, Method, Optimiser, Launcher, Tracker)

KINDS = ("task", "method", "optimiser", "launcher", "tracker")
GROUP = "moco_harness.{}s"
"""Groups of entry points, by what they declare."""

TASKS = (
    "harness.tasks.pretrain.config",
    "harness.tasks.knn.config",
    "harness.tasks.linear.config",
    "harness.tasks.logistic.config",
    "harness.tasks.few_shot.config",
    "harness.tasks.svm.config",
    "harness.tasks.svm_low_shot.config",
    "harness.tasks.finetune.config",
    "harness.tasks.segmentation.config",
    "harness.tasks.detection.config",
    "harness.tasks.instances.config",
)
"""The modules that declare the harness's own tasks, as TASK."""

METHODS = (
    "harness.methods.end_to_end.config",
    "harness.methods.memory_bank.config",
    "harness.methods.moco.config",
    "harness.methods.supervised.config",
)
"""The modules that declare the harness's own methods, as METHOD."""

OPTIMISERS = ("harness.runtime.sgd.config",)
"""The modules that declare the harness's own optimisers, as OPTIMISER."""

DEFAULT_OPTIMISER = "sgd"
"""The optimiser of a recipe whose `optim` names none."""
LAUNCHERS = (
    "harness.launch.here.config",
    "harness.launch.local.config",
    "harness.launch.slurm.config",
)
"""The modules that declare the harness's own launchers, as LAUNCHER."""

DEFAULT_LAUNCHER = "here"
"""Where stages run if neither the user nor the site file names a launcher."""

TRACKERS = ("harness.track.wandb.config",)
"""The modules that declare the harness's own trackers, as TRACKER."""


@functools.cache
def tasks() -> dict[str, Task]:
    """Every task by its kind, parents before the tasks that build on them.

    Raises:
        HarnessError: an installed package declares something else, or a name that is taken.
    """
    found = _declared(Task, TASKS)
    metrics_of: dict[str, str] = {}
    for task in found.values():
        for metric in task.metrics:
            if (other := metrics_of.setdefault(metric.name, task.kind)) != task.kind:
                raise HarnessError(
                    f"the task {task.kind}: {metric.name} is already a metric of {other}"
                )
    for task in found.values():
        if task.parent is not None and task.parent not in found:
            raise HarnessError(
                f"the task {task.kind} builds on {task.parent}, which does not exist"
            )
    return dict(_parents_first(found))


@functools.cache
def methods() -> dict[str, Method]:
    """Every method by its kind.

    Raises:
        HarnessError: an installed package declares something else, or a name that is taken.
    """
    return _declared(Method, METHODS)


@functools.cache
def optimisers() -> dict[str, Optimiser]:
    """Every optimiser by its kind.

    Raises:
        HarnessError: an installed package declares something else, or a name that is taken.
    """
    return _declared(Optimiser, OPTIMISERS)


@functools.cache
def launchers() -> dict[str, Launcher]:
    """Every launcher by its kind.

    Raises:
        HarnessError: an installed package declares something else, or a name that is taken.
    """
    return _declared(Launcher, LAUNCHERS)


@functools.cache
def trackers() -> dict[str, Tracker]:
    """Every tracker by its kind.

    Raises:
        HarnessError: an installed package declares something else, or a name that is taken.
    """
    return _declared(Tracker, TRACKERS)


def task(kind: str) -> Task:
    """The task of that kind. Raises KeyError if none is declared."""
    return tasks()[kind]


@functools.cache
def metrics() -> dict[str, Metric]:
    """Every declared metric by its name, in the order of the tasks."""
    return {metric.name: metric for each in tasks().values() for metric in each.metrics}


@functools.cache
def task_of() -> dict[str, str]:
    """The kind of the task that measures each reported metric, by the metric's name."""
    return {name: each.kind for each in tasks().values() for name in each.reported}


def foremost(names: Collection[str]) -> list[str]:
    """The declared ones of `names`, in the order of declaration, without those beside which there
    is a metric of the same task that the data set is published with."""
    found = [each for each in metrics().values() if each.name in names]
    published = {each.name.partition("/")[0] for each in found if each.data_metric}
    return [
        each.name
        for each in found
        if each.data_metric or each.unit != "%" or each.name.partition("/")[0] not in published
    ]


def clear_cache() -> None:
    """Clear the cache: declarations are read again when they are next needed."""
    for kept in (tasks, methods, optimisers, launchers, trackers, metrics, task_of):
        kept.cache_clear()


def declared(name: str) -> Metric | None:
    """The declaration of `name`, also for an "@" variant; None if there is none."""
    base, at, variant = name.partition("@")
    metric = metrics().get(base)
    if metric is None or not at:
        return metric
    return metric.variant(name) if variant else None


def alarms(values: Mapping[str, object]) -> list[str]:
    """The alarms that a stage's newest values raise, in words, e.g. "collapsed since epoch 3"."""
    found = []
    for name, metric in metrics().items():
        value = values.get(name) if metric.alarm else None
        if isinstance(value, int | float) and metric.possible(value) and 0 < value < float("inf"):
            found.append(metric.alarm.format(value))
    return found


def axis_of(name: str) -> Axis:
    """The x axis for `name`; the step for an undeclared metric."""
    metric = declared(name)
    return metric.axis if metric else "step"


def _declared(wanted: type[D], own: Iterable[str]) -> dict[str, D]:
    """The declarations in the modules `own`, followed by those of installed packages."""
    what: str = wanted.__name__.lower()
    found: dict[str, D] = {}
    named: list[tuple[str, object]] = [
        (name, getattr(importlib.import_module(name), what.upper())) for name in own
    ]
    for source, declared in [*named, *_installed(GROUP.format(what))]:
        if not isinstance(declared, wanted):
            raise HarnessError(f"{source}: declares a {type(declared).__name__}, not a {what}")
        if declared.kind in found:
            raise HarnessError(f"{source}: a {what} with the name {declared.kind} exists already")
        found[declared.kind] = declared
    return found


def _installed(group: str) -> Iterator[tuple[str, object]]:
    """The declarations of installed packages, in the order of their names."""
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        source = f"{point.name} ({point.value})"
        try:
            yield source, point.load()
        except Exception as error:
            raise HarnessError(f"{source}: cannot be loaded: {error}") from error


def packages() -> dict[str, Distribution | None]:
    """Top-level names of the installed packages with declarations, and their distributions.

    None of them is loaded.
    """
    points = (point for kind in KINDS for point in entry_points(group=GROUP.format(kind)))
    return {point.module.partition(".")[0]: point.dist for point in points}


def _parents_first(found: dict[str, Task]) -> Iterable[tuple[str, Task]]:
    """The tasks in the order of declaration, but each parent before its children."""
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
