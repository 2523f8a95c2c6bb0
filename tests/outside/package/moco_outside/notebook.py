"""A tracker that writes a run's rows into a file of the stage's folder, one JSON object a line.

Of what is optional it takes artifacts and tables, but neither pictures nor alerts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.spec.declarations import Axis
from harness.track.protocol import Access, Artifact, Metadata, Row, TrackedTable


def access(env: Mapping[str, str]) -> Access:
    return Access("disabled" if env.get("NOTEBOOK") == "off" else "online", "", "", "", ())


def opener() -> type[Page]:
    return Page


class Page:
    """One run."""

    def __init__(self, about: Metadata) -> None:
        (about.folder / "notebook").mkdir(exist_ok=True)
        self._path = about.folder / "notebook" / f"{about.id}.jsonl"
        self._axes: dict[str, Axis] = {}
        written = self._path.read_bytes() if self._path.exists() else b""
        whole = written[: written.rfind(b"\n") + 1]  # a kill may have cut the last line
        self._path.write_bytes(whole)
        self.known = whole.count(b"\n")
        self.url = self._path.absolute().as_uri()

    def define(self, metric: str, axis: Axis) -> None:
        self._axes[metric] = axis

    def log(self, row: Row) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"number": row.number, "values": dict(row.values)}) + "\n")

    def summarise(self, values: dict[str, Any], tags: tuple[str, ...]) -> None:
        end = {"values": values, "tags": tags, "axes": self._axes}
        self._path.with_suffix(".end").write_text(json.dumps(end))

    def artifact(self, artifact: Artifact, *, made: bool) -> None:
        self._note("artifacts", {"name": artifact.name, "made": made})

    def table(self, name: str, table: TrackedTable) -> None:
        self._note("tables", {"name": name, "rows": len(table.rows)})

    def _note(self, what: str, said: dict[str, Any]) -> None:
        with self._path.with_suffix(f".{what}").open("a") as file:
            file.write(json.dumps(said) + "\n")

    def close(self, *, done: bool) -> None:
        del done
