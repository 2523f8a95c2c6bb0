"""A tracker of another package: rows as JSON lines in the stage's folder. `installed` installs it.

LINES_MODE says whether it is used, LINES_FAULT how it misbehaves.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.errors import RecipeError
from harness.spec import registry
from harness.spec.declarations import Axis, Tracker
from harness.track.protocol import Access, Metadata, Row, TrackerError

TRACKER = Tracker(
    kind="lines",
    title="Lines",
    opener="lines_tracker:Opener",
    access="lines_tracker:access",
    off=("LINES_MODE", "disabled"),
)


def access(env: Mapping[str, str]) -> Access:
    mode = env.get("LINES_MODE", "online")
    if mode == "hangs":
        time.sleep(600)
    if mode not in ("online", "disabled"):
        raise RecipeError(f"LINES_MODE: {mode}: unknown mode")
    server, secret = env.get("LINES_SERVER", ""), env.get("LINES_SECRET", "")
    return Access("disabled" if mode == "disabled" else "online", "", server, "", (secret,))


class Opener:
    def __call__(self, metadata: Metadata) -> Run:
        match os.environ.get("LINES_FAULT"):
            case "hangs":
                time.sleep(600)
            case "fails":
                raise ValueError("the password is " + os.environ.get("LINES_SECRET", ""))
            case "exits":
                raise SystemExit(3)
            case "dies":
                os._exit(3)
        return Run(metadata)


class Run:
    def __init__(self, metadata: Metadata) -> None:
        if metadata.mode == "offline":
            raise TrackerError("Lines are always online")
        folder = metadata.folder / "lines"
        folder.mkdir(exist_ok=True)
        self._rows, self._end = folder / f"{metadata.id}.jsonl", folder / "end.json"
        written = self._rows.read_bytes() if self._rows.exists() else b""
        whole = written[: written.rfind(b"\n") + 1]
        self._rows.write_bytes(whole)
        self._file = self._rows.open("a")
        self._axes: dict[str, Axis] = {}
        self.known = whole.count(b"\n")
        self.url = self._rows.as_uri()

    def define(self, metric: str, axis: Axis) -> None:
        self._axes[metric] = axis

    def log(self, row: Row) -> None:
        self._file.write(json.dumps({**asdict(row), "process": os.getpid()}) + "\n")
        self._file.flush()

    def summarise(self, values: dict[str, Any], tags: tuple[str, ...]) -> None:
        self._end.write_text(json.dumps({"values": values, "tags": tags, "axes": self._axes}))

    def close(self, *, done: bool) -> None:  # noqa: ARG002
        self._file.close()


@contextmanager
def installed(place: Path) -> Iterator[Path]:
    """The tracker as a package that lies in `place`, seen by this process and those it starts."""
    info = place / "lines_tracker-1.0.dist-info"
    info.mkdir(parents=True)
    (place / "lines_tracker.py").write_text(Path(__file__).read_text())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lines-tracker\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[moco_harness.trackers]\nlines = lines_tracker:TRACKER\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(place))
        patch.setenv("PYTHONPATH", str(place))
        registry.clear_cache()
        try:
            yield place
        finally:
            sys.modules.pop("lines_tracker", None)
            patch.undo()
            registry.clear_cache()
