"""Evaluation protocol of a value, field by field. Values of different protocols are not
compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.recipe.ablation import Metric
from harness.recipe.schema import Recipe
from harness.recipe.task import TaskSection
from harness.spec.registry import task, task_of

Protocol = dict[str, str]
"""Field of the recipe -> value as text."""

SENSITIVITY = ("k", "lr", "weight_decay")
"""Lists whose first item gives the result; the others only show sensitivity."""
OF_EVERY_TASK = TaskSection.model_fields.keys()
"""Fields of a further task that are no part of its protocol."""


def protocol_of(recipe: Recipe, metric: Metric, under: str = "") -> Protocol:
    """All fields of the recipe that decide how `metric` is measured; {} for a cost.

    Args:
        under: the task under the recipe's `tasks:` that measures it; "": the one with a section of
            its own.
    """
    kind = task_of().get(metric)
    name = task(kind).section if kind else None
    section = getattr(recipe, name) if name else None
    if under:
        name, section = f"tasks.{under}", recipe.tasks.get(under)
    if section is None:
        return {}
    return {
        f"{name}.{field}": str(value[0] if field in SENSITIVITY and value else value)
        for field, value in section.model_dump(mode="json").items()
        if not (under and field in OF_EVERY_TASK)
    }


def usual_protocol(protocols: Sequence[Protocol]) -> Protocol:
    """The most frequent protocol of a column's cells; the first one in a tie."""
    counts = Counter(tuple(each.items()) for each in protocols if each)
    return dict(counts.most_common(1)[0][0]) if counts else {}


def deviation(own: Protocol, usual: Protocol) -> Protocol:
    """The fields in which a protocol differs from the usual one."""
    return {field: value for field, value in own.items() if value != usual.get(field)}


def protocol_text(found: Protocol) -> str:
    """E.g. "knn.k = 20, knn.layer = output"."""
    return ", ".join(f"{field} = {value}" for field, value in found.items())
