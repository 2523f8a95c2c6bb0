"""What a tracker shows of a stage, from its files: name, group, config, tags, summary, rows."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from harness.errors import StoreError
from harness.redact import redact, without_places
from harness.store import atomic, pictures
from harness.store.journal import NOT_METRICS, Record
from harness.store.layout import StageFolder
from harness.track.mirror_state import MirrorState
from harness.track.protocol import Metadata, Picture, Row

TAG_LIMIT = 64
NAME_LIMIT = 128
KEPT = ("edition", "data", "packages", "python")
"""Provenance fields that trackers get. Not host or paths: they are private."""


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
    config |= cell(stage)
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
        runs=folder.path.parent,
        notes=command(folder),
    )


def cell(stage: Mapping[str, Any]) -> dict[str, Any]:
    """The ablation's cell as flat values to group and plot by: {"cell": its id, "varies/FIELD":
    the recipe's value}, for each field in which the cells of the ablation differ; {} outside of
    one."""
    if not stage.get("cell"):
        return {}
    found: dict[str, Any] = {"cell": stage["cell"]}
    fields = stage.get("varies")
    for name in fields if isinstance(fields, list) else ():
        value: Any = stage.get("recipe")
        for part in str(name).split("."):
            value = value.get(part) if isinstance(value, dict) else None
        plain = value is None or isinstance(value, bool | int | float | str)
        found[f"varies/{name.replace('.', '/')}"] = value if plain else json.dumps(value)
    return found


def command(folder: StageFolder) -> str:
    """The command of the newest attempt, as one can type it; secrets and folders are left out."""
    words = _newest(folder).get("command")
    if not isinstance(words, list):
        return ""
    return shlex.join(without_places(_without_place(redact(str(word)))) for word in words)


def _without_place(word: str) -> str:
    """The word; of an absolute path only the last part, as published records have it."""
    option, equals, path = word.rpartition("=")
    return f"{option}{equals}…/{Path(path).name}" if path.startswith("/") else word


def provenance(folder: StageFolder) -> dict[str, Any]:
    """The part of the newest attempt's provenance that may be public."""
    found = _newest(folder)
    kept = {key: found[key] for key in KEPT if key in found}
    code, machine = found.get("code"), found.get("machine")
    if isinstance(code, dict):
        kept["commit"], kept["dirty"] = code.get("commit"), code.get("dirty")
    if isinstance(machine, dict):
        kept["device"] = machine.get("device")
    return kept


def _newest(folder: StageFolder) -> dict[str, Any]:
    """The newest attempt's provenance; {} if there is none."""
    for attempt in reversed(folder.attempts()):
        try:
            found = atomic.read_json(attempt / "attempt.json")
        except StoreError:
            continue
        if isinstance(found, dict):
            return found
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


def shown_pictures(
    folder: StageFolder, result: Mapping[str, Any]
) -> tuple[str, list[Picture]] | None:
    """(name, pictures) that the stage kept; None if it kept none.

    Raises:
        StoreError: one is damaged.
    """
    kept = pictures.read(folder.path, result)
    if kept is None:
        return None
    panels = [panel for each in kept.samples.values() for panel in each.values()]
    files = [folder.path / name for name in pictures.files(kept)]
    kind = (folder.described or {}).get("kind") or "stage"
    shown = [Picture(f, p.says) for f, p in zip(files, panels, strict=True)]
    return f"pictures/{kind}", shown


def row(record: Record, number: int) -> Row:
    """A journal record as the run's row of this number."""
    values = {name: value for name, value in record.items() if name not in NOT_METRICS}
    return Row(number, record["step"], record.get("epoch"), record.get("t"), values)
