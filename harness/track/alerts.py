"""What of a stage needs people's eyes: collapse, divergence, no more than the untrained network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.spec.registry import alarms, metrics, task_of
from harness.store.layout import StageFolder, is_name
from harness.store.ledger import measured_by

TITLE = 60
"""Most characters of a title."""


def of_values(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """(title, text) of the alarms that a record raises."""
    for words in alarms(values):
        yield words[:TITLE], f"{words}; docs/health.md says what to look at"


def of_result(folder: StageFolder, result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(title, text) of what the stage's result warns of.

    Raises:
        StoreError: a record of the stage or of its control is damaged.
    """
    values = result.get("values")
    values = values if isinstance(values, dict) else {}
    yield from of_values(values)
    if result.get("state") == "diverged":
        yield "diverged", f"{folder.id}: {result.get('message') or 'diverged'}"
    control = (folder.described or {}).get("control")
    if not is_name(control) or control == folder.id:
        return
    other = StageFolder(folder.path.parent / str(control)).result
    if other is None or other["state"] != "finished" or measured_by(other) != measured_by(result):
        return
    for name in task_of():
        ours, theirs = values.get(name), other.get("values", {}).get(name)
        if ours is None or theirs is None or metrics()[name].better != "higher":
            continue
        if ours <= theirs:
            said = f"{ours:g} against {theirs:g} {metrics()[name].unit}"
            yield f"{name} not above the untrained network"[:TITLE], f"{folder.id}: {said}"
