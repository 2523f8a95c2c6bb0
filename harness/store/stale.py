"""Stale results: does a finished stage still match the present code, weights and data?"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import atomic
from harness.store.ledger import Entry, FileState
from harness.store.version import STAGE

DATA = ("fingerprint", "train", "test")
"""Fields of a result's `data` that must equal those of its parent stage."""

INPUTS = ("data", "test_data", "masks", "boxes", "images", "labels", "weights")
"""Fields of a result that name its inputs: the data, test images from elsewhere, images with masks,
boxes or several labels, the list of images whose labels are used, given weights."""

PRINTS = {
    "fingerprint": "names and sizes",
    "lists": "the set's lists",
    "contents": "contents",
    "sha256": "sha256",
}
"""Fields that identify an input, and what each is computed from."""

CheckInput = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]
"""(an input's name, the result's record of it) -> the same of the present input; None: it is not on
this machine, or not known."""

MOST_NAMED = 3
"""Fields that a reason names; for more it gives their number."""


BEGUN: tuple[FileState, ...] = ("interrupted", "failed")
"""The states of a stage that was begun, has no result, and does not run."""


def other_weights(entry: Entry, parent: Entry | None, *, renewed: bool) -> str:
    """Why what the stage has measured or trained is not of the weights that its parent has or will
    have; "" if it may be.

    Args:
        renewed: the parent will be run again.
    """
    begun = entry.state in BEGUN
    if renewed:
        return "is run again" if begun or entry.done else ""
    if not begun or parent is None:
        return ""
    if parent.state == "absent":
        return "is not there any more"
    if parent.state not in ("finished", *BEGUN):
        return ""
    began = next(filter(None, map(_started, entry.folder.attempts())), "")
    made = next(filter(None, map(_started, reversed(parent.folder.attempts()))), "")
    return "was made after it had begun" if began and began < made else ""


def _started(attempt: Path) -> str:
    """Start of an attempt: UTC, in a form whose order is that of time; "" if it is not recorded, or
    if the record is damaged."""
    try:
        found: Any = atomic.read_json(attempt / "attempt.json")
    except StoreError:
        return ""
    return str(found.get("started", "")) if isinstance(found, dict) else ""


def why_stale(
    entry: Entry,
    parent: Entry | None,
    edition: str | None,
    wanted: Mapping[str, Any] | None,
    check_input: CheckInput | None = None,
) -> str:
    """Why the stage's result no longer matches `wanted`, `edition`, its parent's present weights
    and data, or the inputs on this machine; "" if it matches, or if there is no result.

    The plan, the status, the report, `publish` and `check` all use this one function.

    Args:
        parent: the stage it builds on; None: there is none.
        edition: the wanted edition of the code; None: any.
        wanted: the wanted stage.json: harness.recipe.identity.record; None: see why_other.
        check_input: checks inputs (harness.inputs.Inputs); None: inputs are not checked.
    """
    result, above = entry.result, parent.result if parent else None
    if result is None:
        return ""
    if why := why_other(entry, wanted):
        return why
    found = result.get("edition")
    if edition is not None and found != edition:
        return f"of edition {found or 'unknown'}"
    apart = _why_apart(entry, result, above) if above is not None else ""
    return apart or why_changed(entry, check_input)


def why_changed(entry: Entry, check_input: CheckInput | None) -> str:
    """Why the present inputs differ from those the stage's result was made from; "" if they are the
    same or if this is unknown: they are not on this machine, or the result does not name them."""
    inputs = (entry.result or {}).get("inputs")
    if check_input is None or not isinstance(inputs, Mapping):
        return ""
    for what in INPUTS:
        said = inputs.get(what)
        if not isinstance(said, Mapping) or (now := check_input(what, said)) is None:
            continue
        for key, of in PRINTS.items():
            if said.get(key) and now.get(key) and said[key] != now[key]:
                pair = f"{of} {_print(said, key)} then, {_print(now, key)} now"
                kind = what.replace("_", " ")
                return f"of other {kind} than {said.get('name')} contains now ({pair})"
    return ""


def _print(said: Mapping[str, Any], key: str) -> str:
    """The fingerprint under `key`, with the count of its items."""
    counted = f" of {said['images']} images" if type(said.get("images")) is int else ""
    return f"{str(said[key])[:12]}{counted}"


def _has_own_data(entry: Entry) -> bool:
    """Whether the stage is a further task with data of its own, by its stage.json."""
    said: Any = entry.described or {}
    if "recipe" not in said:  # a quick read leaves it and later fields out
        with contextlib.suppress(StoreError):
            said = entry.folder.described or {}
    for key in ("recipe", "tasks", said.get("task"), "data"):
        said = said.get(key) if isinstance(said, Mapping) else None
    return said is not None


def _why_apart(entry: Entry, result: Mapping[str, Any], above: Mapping[str, Any]) -> str:
    """Why a result and its parent's present result do not belong together; "" if they do."""
    ours, theirs = result.get("weights"), above.get("weights")
    if ours != theirs:
        pair = f"({ours or 'unknown'} then, {theirs or 'unknown'} now)"
        return f"of weights that differ from those of its pre-training {pair}"
    ours, theirs = _data(result), _data(above)
    if ours == theirs or _has_own_data(entry):
        return ""
    pair = " and ".join(_data_text(each) for each in (ours, theirs))
    return f"of data that differs from its pre-training's, by their records ({pair})"


def _data_text(data: list[Any]) -> str:
    """A fingerprint and the numbers of images, or a text that they are unknown."""
    if not data or data[0] is None:
        return "unknown"
    print_, train, test = data
    return f"{print_}, {train} + {test} images"


def why_other(entry: Entry, wanted: Mapping[str, Any] | None = None) -> str:
    """Why a stage.json does not match its folder's name or `wanted`; "" if it does.

    With `wanted` None only its version and its name are checked.
    """
    described = entry.described
    if described is None:
        return "without a stage.json"
    if (version := described.get("schema")) != STAGE:
        return f"of schema version {version}"
    if (named := described.get("id")) != entry.folder.id:
        return f"a copy of {named}"
    other = list(_differences(described, wanted or {}))
    more = f" and {len(other) - MOST_NAMED} more" if len(other) > MOST_NAMED else ""
    return f"its record has {', '.join(other[:MOST_NAMED])}{more}" if other else ""


def _data(result: Mapping[str, Any]) -> list[Any]:
    data = result.get("data")
    return [data.get(key) for key in DATA] if isinstance(data, dict) else []


def _differences(described: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """Each field that differs from `wanted`, as "knn.k [20]"."""
    said = {key: described.get(key) for key in wanted}
    recipe = described.get("recipe")
    if "recipe" in wanted and isinstance(recipe, Mapping):
        said["recipe"] = {name: recipe[name] for name in wanted["recipe"] if name in recipe}
    ours, theirs = dict(_fields(wanted)), dict(_fields(said))
    for path in ours | theirs:
        if path not in theirs:
            yield f"no {path}"
        elif path not in ours or ours[path] != theirs[path]:
            yield f"{path} {json.dumps(theirs[path])}"


def _fields(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _fields(each, f"{path}.{key}" if path else str(key))
    else:
        yield path.removeprefix("recipe."), value
