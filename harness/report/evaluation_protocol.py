"""Evaluation protocol of a value, field by field. Values of different protocols are not
compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.recipe.ablation import Ablation, Metric
from harness.recipe.schema import Recipe
from harness.recipe.task import TaskSection
from harness.spec.registry import task, task_of

Protocol = dict[str, str]
"""Field of the recipe -> value as text."""

SENSITIVITY = ("k", "lr", "weight_decay", "shots")
"""Lists whose first item gives the result; the others only show sensitivity."""
OF_EVERY_TASK = TaskSection.model_fields.keys() - {"data"}
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
    elif section is None:  # as Run.behind: the only further task of the kind
        of_kind = [other for other, said in recipe.tasks.items() if said.kind == kind]
        if len(of_kind) == 1:
            name, section = f"tasks.{of_kind[0]}", recipe.tasks[of_kind[0]]
    if section is None:
        return {}
    return {
        f"{name}.{field}": _shown(field, value)
        for field, value in section.model_dump(mode="json").items()
        if field not in OF_EVERY_TASK and not (field == "data" and value is None)
    }


def _shown(field: str, value: object) -> str:
    """A field as text: of several values of a sensitivity the first, which is the result's; of a
    section what is set in it."""
    if isinstance(value, list) and value and field in SENSITIVITY:
        return str(value[0])
    if isinstance(value, dict):
        return " ".join(f"{name} {each}" for name, each in value.items() if each is not None)
    return str(value)


def usual_protocol(protocols: Sequence[Protocol]) -> Protocol:
    """The most frequent protocol of a column's cells; the first one in a tie."""
    counts = Counter(tuple(each.items()) for each in protocols if each)
    return dict(counts.most_common(1)[0][0]) if counts else {}


def deviation(own: Protocol, usual: Protocol) -> Protocol:
    """The fields in which a protocol differs from the usual one."""
    return {field: value for field, value in own.items() if value != usual.get(field)}


def varied(ablation: Ablation | None) -> frozenset[str]:
    """The fields that a table's cells set."""
    cells = ablation.cells if ablation is not None else ()
    return frozenset(field for cell in cells for field in cell.set or ())


def compared(found: Protocol, varied: frozenset[str]) -> Protocol:
    """The fields in which all rows of a table must agree: those that none of its cells sets. A rate
    that a table gives to random weights alone is a part of that row."""
    return {field: value for field, value in found.items() if field not in varied}


def protocol_text(found: Protocol) -> str:
    """E.g. "knn.k = 20, knn.layer = output"."""
    return ", ".join(f"{field} = {value}" for field, value in found.items())
