"""What a tracker shows of a stage, from its files: name, group, config, tags, summary, rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from harness.errors import StoreError
from harness.store import atomic
from harness.store.journal import NOT_METRICS, Record
from harness.store.layout import StageFolder
from harness.track.mirror_state import MirrorState
from harness.track.protocol import Metadata, Row

TAG_LIMIT = 64
NAME_LIMIT = 128
KEPT = ("edition", "data", "packages", "python")
"""Provenance fields that trackers get. Not command, host or paths: they are private."""


def describe(
    folder: StageFolder, cursor: MirrorState, mode: Literal["online", "offline"]
) -> Metadata:
    """The metadata to open the stage's run with.

    Raises:
        StoreError: stage.json is damaged.
    """
    stage = folder.described or {}
    recipe = stage.get("recipe")
    config = dict(recipe) if isinstance(recipe, dict) else {}
    config["stage"] = {k: stage.get(k) for k in ("id", "kind", "name", "seed", "parent", "group")}
    config["provenance"] = provenance(folder)
    kind = str(stage.get("kind") or "stage")
    edition = config["provenance"].get("edition")
    tags = [kind, str(stage.get("name") or ""), f"edition {edition}" if edition else ""]
    return Metadata(
        id=cursor.id,
        name=folder.id[:NAME_LIMIT],
        group=str(stage.get("group") or stage.get("name") or "")[:NAME_LIMIT],
        job_type=kind,
        project=cursor.project,
        folder=folder.path,
        mode=mode,
        config=config,
        tags=tuple(tag[:TAG_LIMIT] for tag in tags if tag),
    )


def provenance(folder: StageFolder) -> dict[str, Any]:
    """The part of the newest attempt's provenance that may be public."""
    for attempt in reversed(folder.attempts()):
        try:
            found = atomic.read_json(attempt / "attempt.json")
        except StoreError:
            continue
        if isinstance(found, dict):
            kept = {key: found[key] for key in KEPT if key in found}
            code, machine = found.get("code"), found.get("machine")
            if isinstance(code, dict):
                kept["commit"], kept["dirty"] = code.get("commit"), code.get("dirty")
            if isinstance(machine, dict):
                kept["device"] = machine.get("device")
            return kept
    return {}


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result as a run's summary: its values by metric name, and its state."""
    flat: dict[str, Any] = {}

    def spread(values: Mapping[str, Any], prefix: str) -> None:
        for name, value in values.items():
            if isinstance(value, Mapping):
                spread(value, f"{prefix}{name}/")
            elif isinstance(value, (bool, int, float, str)):
                flat[f"{prefix}{name}"] = value

    values = result.get("values")
    spread(values if isinstance(values, Mapping) else {}, "")
    ended = {"result/state": "state", "result/step": "step", "result/message": "message"}
    flat.update({ours: result[key] for ours, key in ended.items() if result.get(key) is not None})
    return flat


def row(record: Record, number: int) -> Row:
    """A journal record as the run's row of this number."""
    values = {name: value for name, value in record.items() if name not in NOT_METRICS}
    return Row(number, record["step"], record.get("epoch"), record.get("t"), values)
