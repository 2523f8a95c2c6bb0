"""Versions of records on disk. What a newer harness wrote is refused, for nobody here knows what it
means; an older record is read as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import WrittenByNewer

STAGE = 1
"""The newest stage.json that is read here: harness.recipe.schema.SCHEMA_VERSION."""


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
