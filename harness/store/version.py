"""Versions of records on disk. Records of a newer harness are refused, as their meaning is unknown
here. An older stage.json is migrated when it is read, if there is a migration path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import WrittenByNewer

STAGE = 1
"""The version of stage.json that is written, and the newest that can be read."""

STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Version -> function that migrates such a stage.json to the next version. Version 1 was the first
ever written."""


def migrate(record: dict[str, Any]) -> dict[str, Any]:
    """The record in the present version, or in the last version that migrations lead to."""
    while type(schema := record.get("schema")) is int and schema < STAGE and schema in STEPS:
        record = {**STEPS[schema](record), "schema": schema + 1}
    return record


def is_newer(record: Mapping[str, Any], known: int) -> bool:
    """Whether the record's schema is newer than `known`."""
    schema = record.get("schema")
    return isinstance(schema, int) and schema > known


def refuse_newer(record: Mapping[str, Any], known: int, path: Path) -> None:
    """Raise if the record's schema is newer than `known`.

    Raises:
        WrittenByNewer: it is.
    """
    if is_newer(record, known):
        raise WrittenByNewer(
            f"{path}: written by a newer moco-harness (schema {record['schema']}; this version "
            f"reads up to {known}); upgrade moco-harness, and do not change the file"
        )
