"""The fields in which two recipes, or two ablation recipes, differ, defaults included."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from harness.recipe.claims import CONTROL

if TYPE_CHECKING:
    from harness.recipe.expand import Member

NO_SCIENCE = ("name", "seed", "about", "watch")
"""Sections of a recipe that change no result, and what tells runs of one cell apart."""


class _Absent:
    """Stands for a field that one of the recipes does not have, e.g. `factor` in a cosine
    schedule."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


def difference(a: BaseModel, b: BaseModel) -> list[tuple[str, object, object]]:
    """(dotted field, value in a, value in b) of every field that differs, in the schema's order.

    A section that only one of the two has counts as one field.
    """
    return _difference(a.model_dump(mode="json"), b.model_dump(mode="json"), "")


def varied_fields(members: Iterable[Member]) -> tuple[str, ...]:
    """The dotted fields in which the cells of an ablation differ, in the schema's order. Names,
    seeds and what changes no result are left out; so are the control, and given weights beside
    cells that train."""
    cells = {each.cell: each.recipe for each in members if each.cell not in ("", CONTROL)}
    recipes = [each for each in cells.values() if each.optim.epochs] or list(cells.values())
    dumped = [each.model_dump(mode="json", exclude=set(NO_SCIENCE)) for each in recipes]
    found = (field for other in dumped[1:] for field, *_ in _difference(dumped[0], other, ""))
    return tuple(dict.fromkeys(found))


def _difference(
    a: dict[str, Any], b: dict[str, Any], prefix: str
) -> list[tuple[str, object, object]]:
    found: list[tuple[str, object, object]] = []
    for key in [*a, *(key for key in b if key not in a)]:
        left, right = a.get(key, ABSENT), b.get(key, ABSENT)
        if isinstance(left, dict) and isinstance(right, dict):
            found += _difference(left, right, f"{prefix}{key}.")
        elif left != right:
            found.append((f"{prefix}{key}", left, right))
    return found
