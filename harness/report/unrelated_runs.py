"""Stages in the run root that have a table's names and seeds but do not belong to it.

They have another schema version or other settings, or are copies of a folder. None of them is used
in a mean; each is listed with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import StoreError, Unreadable, WrittenByNewer
from harness.recipe.difference import difference
from harness.recipe.identity import sections, spec
from harness.recipe.schema import Recipe
from harness.report.runs import Run
from harness.store import atomic
from harness.store.layout import StageFolder
from harness.store.version import STAGE as STAGE_VERSION

NAMED = 4
"""The most stages that a line names; it gives the number of the others."""

STAGE = re.compile(r"(.*-s\d+\.[a-z][a-z0-9_=]*)-")


def unrelated_runs(runs: Iterable[Run], root: Path) -> list[str]:
    """One line per reason why a stage with the table's name is not part of the table, with its
    stages."""
    try:
        there = sorted(path.name for path in root.iterdir())
    except OSError:
        return []
    by_name: dict[str, list[str]] = {}
    for folder in there:
        by_name.setdefault(_name(folder), []).append(folder)
    found: dict[str, list[str]] = {}
    for run in runs:
        for stage in run.stages.values():
            for folder in by_name.get(_name(stage.id), ()):
                if folder != stage.id:
                    why = _why(StageFolder(root / folder), run.recipe, stage.name, set(there))
                    found.setdefault(why, []).append(folder)
    return [f"{why}: {_listed(names)}" for why, names in found.items()]


def _name(folder: str) -> str:
    """Name, seed and stage of a folder, without the hash and without a copy's suffix."""
    found = STAGE.match(folder)
    return found[1] if found else ""


def _why(folder: StageFolder, ours: Recipe, name: str, there: set[str]) -> str:
    try:
        described: dict[str, Any] = folder.described or {}
    except WrittenByNewer:
        return "Written by a newer moco-harness"
    except Unreadable:
        return "Not readable by this user"
    except StoreError:
        return "With a damaged stage.json"
    if not described:
        return "Without a stage.json"
    named = described.get("id")
    if named != folder.id:
        kept = "which is also here" if named in there else "which is not here"
        return f"According to its stage.json a copy of {named}, {kept}"
    version = described.get("schema")
    if version != STAGE_VERSION:
        return f"Schema version {version}; this code reads {STAGE_VERSION}"
    try:
        theirs = Recipe.model_validate_json(atomic.dump(described.get("recipe")))
    except (ValidationError, ValueError):
        return "With a recipe that this version cannot read"
    parent = spec(ours, name).parent
    read = {*sections(ours, name), *(sections(ours, parent) if parent else ())}
    other = [
        f"{field} {theirs_}, here {ours_}"
        for field, theirs_, ours_ in difference(theirs, ours)
        if field.partition(".")[0] in read
    ]
    return f"With other settings ({'; '.join(other) or 'in their parent'})"


def _listed(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
