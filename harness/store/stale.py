"""Whether a finished stage still says what the code and weights at hand would say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from harness.store.ledger import Entry
from harness.store.version import STAGE

DATA = ("fingerprint", "train", "test")
"""What a result's `data` has to share with that of the stage it builds on."""

TOLD = 3
"""Fields that a reason names; of more it tells how many."""


def why_stale(entry: Entry, parent: Entry | None, edition: str, wanted: Mapping[str, Any]) -> str:
    """Why the stage's result is not one of `wanted`, of `edition` and of its parent's present
    weights and data; "" if it is, or if it has none.

    The plan, the report and `check` judge by this alone.

    Args:
        parent: the stage it builds on; None: there is none.
        edition: the code's edition that is wanted.
        wanted: what its stage.json has to say: harness.recipe.identity.record.
    """
    result, above = entry.result, parent.result if parent else None
    if result is None:
        return ""
    if why := why_other(entry, wanted):
        return why
    found = result.get("edition")
    if found != edition:
        return f"of edition {found or 'unknown'}"
    if above is None:
        return ""
    if result.get("weights") != above.get("weights"):
        return "of other weights than its pre-training now has"
    differs = _data(result) != _data(above)
    return "of other data than its pre-training, by their records" if differs else ""


def why_other(entry: Entry, wanted: Mapping[str, Any] | None = None) -> str:
    """Why a stage.json is not the one of its folder's name, or not that of `wanted`; "" if it is.

    `wanted` None: its version and its name alone are looked at.
    """
    described = entry.described
    if described is None:
        return "without a stage.json"
    if (version := described.get("schema")) != STAGE:
        return f"of schema version {version}"
    if (named := described.get("id")) != entry.folder.id:
        return f"a copy of {named}"
    other = list(_differences(described, wanted or {}))
    more = f" and {len(other) - TOLD} more" if len(other) > TOLD else ""
    return f"its record says {', '.join(other[:TOLD])}{more}" if other else ""


def _data(result: Mapping[str, Any]) -> list[Any]:
    data = result.get("data")
    return [data.get(key) for key in DATA] if isinstance(data, dict) else []


def _differences(described: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """Each field that is said otherwise in what is wanted, as "knn.k [20]"."""
    said = {key: described.get(key) for key in wanted}
    recipe = described.get("recipe")
    if "recipe" in wanted and isinstance(recipe, Mapping):
        said["recipe"] = {name: recipe[name] for name in wanted["recipe"] if name in recipe}
    ours, theirs = dict(_fields(wanted)), dict(_fields(said))
    for path in ours | theirs:
        if path not in theirs:
            yield f"nothing of {path}"
        elif path not in ours or ours[path] != theirs[path]:
            yield f"{path} {json.dumps(theirs[path])}"


def _fields(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _fields(each, f"{path}.{key}" if path else str(key))
    else:
        yield path.removeprefix("recipe."), value
