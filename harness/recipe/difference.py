"""The fields in which two recipes, or two ablation recipes, differ, defaults included."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


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
