"""What wandb has written into an offline file: a log of records in LevelDB's format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

HEADER, BLOCK = 7, 32768
FULL, LAST = 1, 4


def rows(folder: Path) -> list[dict[str, Any]]:
    """The history in the offline files of a stage's folder, of all of its runs."""
    protocol = import_module("wandb.proto.wandb_internal_pb2")  # it makes its classes when loaded
    found = []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for data in _records(path.read_bytes()):
            record = protocol.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                names = (item.key or "/".join(item.nested_key) for item in items)
                values = (json.loads(item.value_json) for item in items)
                found.append(dict(zip(names, values, strict=True)))
    return found


def _records(data: bytes) -> Iterator[bytes]:
    at, whole = HEADER, b""
    while at + HEADER <= len(data):
        if (left := BLOCK - at % BLOCK) < HEADER:
            at += left
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        at += HEADER
        whole += data[at : at + size]
        at += size
        if kind in (FULL, LAST):
            yield whole
            whole = b""
