"""What wandb has written into its offline files, as its own `wandb leet inspect` reads them."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def records(runs: Path, name: str = "*") -> list[Record]:
    """The records in the run root's offline files whose folders' names end like this."""
    found = []
    for path in sorted(runs.glob(f"wandb/offline-run-{name}/*.wandb")):
        words = [_core(), "leet", "inspect", "--no-observability", "--json"]
        words += ["--run-file", str(path), str(path.parent.parent)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        found += [json.loads(line) for line in done.stdout.splitlines()]
    return found


def of_type(runs: Path, kind: str, name: str = "*") -> list[Record]:
    """The contents of the records of that type."""
    return [each[kind] for each in records(runs, name) if each["type"] == kind]


def rows(runs: Path, name: str = "*") -> list[Record]:
    """The history."""
    return [each["item"] for each in of_type(runs, "history", name)]


@cache
def _core() -> str:
    from wandb.util import get_core_path

    return str(get_core_path())
