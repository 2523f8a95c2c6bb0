"""Versions of records on disk. What a newer harness wrote is refused, for nobody here knows what it
means; an older stage.json is brought to the present version as it is read, where a step leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import WrittenByNewer

STAGE = 1
"""The version of stage.json that is written here, and the newest that is read."""

STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Version -> what makes of such a stage.json one of the next version. Version 1 is the first that
was ever written."""


def migrate(record: dict[str, Any]) -> dict[str, Any]:
    """The record in the present version, or in the last one that a step leads to."""
    while type(schema := record.get("schema")) is int and schema < STAGE and schema in STEPS:
        record = {**STEPS[schema](record), "schema": schema + 1}
    return record


def is_newer(record: Mapping[str, Any], known: int) -> bool:
    """Whether the record's schema is newer than `known`."""
    schema = record.get("schema")
    return isinstance(schema, int) and schema > known


def refuse_newer(record: Mapping[str, Any], known: int, path: Path) -> None:
    """Do nothing, unless the record's schema is newer than `known`.

    Raises:
        WrittenByNewer: it is.
    """
    if is_newer(record, known):
        raise WrittenByNewer(
            f"{path}: written by a newer moco-harness (schema {record['schema']}, and this one "
            f"reads up to {known}); upgrade it, and leave the file as it is"
        )
