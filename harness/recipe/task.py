"""What every further task's section of the recipe has, under `tasks:`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from harness.recipe.data import Data
from harness.recipe.section import Positive, Section
from harness.spec.declarations import load
from harness.spec.registry import tasks

TaskName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
"""What a task is called in a recipe: part of its stages' folders' names."""


class TaskSection(Section):
    """A further task on a run's weights: `kind` names what is done."""

    kind: str
    parent: Annotated[str, Field(min_length=1)] = "pretrain"
    """What it builds on: pretrain, or the name of another task of the recipe."""
    data: Data | None = None
    """Its own data; null: that of the run."""
    trials: Positive = 1
    """How often it is done, each time with other random numbers."""


def task_sections() -> tuple[type[TaskSection], ...]:
    """The section of every declared task that may stand under `tasks:`, by their kinds' names.

    Raises:
        TypeError: what a task declares is no such section.
    """
    found = []
    for kind, each in sorted(tasks().items()):
        if each.config is None:
            continue
        section: object = load(each.config)
        if not (isinstance(section, type) and issubclass(section, TaskSection)):
            raise TypeError(f"the task {kind} declares {section}, which is no TaskSection")
        found.append(section)
    return tuple(found)
