"""Synthetic stages, and a stand-in for wandb that behaves as the real one was seen to behave."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.spec.declarations import Axis
from harness.spec.registry import trackers
from harness.store import atomic
from harness.store.layout import StageFolder
from harness.track.feed import Feed, access
from harness.track.mirror import Say, StageMirror
from harness.track.protocol import (
    Artifact,
    Metadata,
    Mode,
    Opener,
    Picture,
    Row,
    TrackedTable,
    TrackerError,
)
from harness.track.wandb.run import history


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the user's wandb account, or leaves its own behind."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.chdir(home)


class Stage:
    """A stage as the trainer leaves it on disk, without the trainer."""

    def __init__(
        self, runs: Path, stage_id: str = "tiny-s0.pretrain-0123456789", **more: Any
    ) -> None:
        self.folder = StageFolder(runs / stage_id)
        self.folder.create(
            {
                "schema": 1,
                "id": stage_id,
                "kind": "pretrain",
                "name": "tiny",
                "seed": 0,
                "parent": None,
                "group": "momentum",
                "recipe": {"name": "tiny", "optim": {"lr": 0.03}},
                **more,
            }
        )

    def attempt(self, number: int, *records: dict[str, Any], torn: str = "") -> None:
        path = self.folder.path / "attempts" / f"{number:04d}"
        path.mkdir(exist_ok=True)
        provenance = {
            "edition": "abc123",
            "data": {"name": "digits"},
            "code": {"commit": "f00", "dirty": False},
            "machine": {"host": "node-7", "device": "cpu"},
            "command": ["moco-harness", "/private"],
        }
        (path / "attempt.json").write_text(json.dumps(provenance))
        with (path / "metrics.jsonl").open("a") as file:
            file.write("".join(json.dumps(record) + "\n" for record in records) + torn)

    def checkpoint(self, step: int) -> None:
        (self.folder.checkpoints / f"step-{step:08d}-0a1b2c.pt").touch()

    def finish(
        self, state: str = "finished", values: dict[str, float] | None = None, **more: Any
    ) -> None:
        result = {"state": state, "step": 9, "message": "", "values": values or {}, **more}
        atomic.write_json(self.folder.path / "result.json", result)

    @property
    def cursor(self) -> dict[str, Any]:
        found = json.loads((self.folder.path / "wandb.json").read_text())
        assert isinstance(found, dict)
        return found


def record(step: int, loss: float | None = None, **others: float) -> dict[str, Any]:
    loss = step / 10 if loss is None else loss
    return {"step": step, "epoch": step / 4, "t": 1e9 + step, "train/loss": loss, **others}


@dataclass
class Run:
    """What the stand-in's server, or an offline folder, holds of one run id."""

    metadata: Metadata
    rows: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    axes: dict[str, Axis] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    closed: list[bool] = field(default_factory=list)
    artifacts: list[tuple[Artifact, bool]] = field(default_factory=list)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    tables: dict[str, TrackedTable] = field(default_factory=dict)
    pictures: dict[str, list[Picture]] = field(default_factory=dict)
    alerts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def used(self) -> list[str]:
        return [each.name for each, made in self.artifacts if not made]

    @property
    def made(self) -> list[str]:
        return [each.name for each, made in self.artifacts if made]


class FakeWandb:
    """Opens runs in memory; online takes each row number once, as wandb does on resuming."""

    def __init__(self) -> None:
        self.online: dict[str, Run] = {}
        self.offline: dict[str, Run] = {}
        self.opened: list[str] = []
        self.refuse = ""
        self.refuse_artifacts = ""
        self.lose = False

    def __call__(self, metadata: Metadata) -> FakeTrackedRun:
        self.opened.append(metadata.mode)
        if metadata.mode == "online" and self.refuse:
            raise TrackerError(self.refuse)
        held = self.online if metadata.mode == "online" else self.offline
        return FakeTrackedRun(self, held.setdefault(metadata.id, Run(metadata)))


class FakeTrackedRun:
    def __init__(self, server: FakeWandb, run: Run) -> None:
        self._server = server
        self._run = run
        online = run.metadata.mode == "online"
        self.known = len(run.rows) if online else 0
        self.url = f"https://wandb.test/{run.metadata.id}" if online else ""

    def define(self, metric: str, axis: Axis) -> None:
        self._run.axes[metric] = axis

    def log(self, row: Row) -> None:
        if self._run.metadata.mode == "online" and row.number in self._run.numbers:
            return
        self._run.rows.append(history(row))
        self._run.numbers.append(row.number)

    def artifact(self, artifact: Artifact, *, made: bool) -> None:
        if self._server.refuse_artifacts:
            raise TrackerError(self._server.refuse_artifacts)
        self._run.artifacts.append((artifact, made))
        self._run.uploaded |= {name: file.read_bytes() for name, file in artifact.files.items()}

    def table(self, name: str, table: TrackedTable) -> None:
        self._run.tables[name] = table

    def pictures(self, name: str, pictures: Sequence[Picture]) -> None:
        self._run.pictures[name] = list(pictures)

    def alert(self, title: str, text: str) -> None:
        self._run.alerts.append((title, text))

    def summarise(self, values: dict[str, Any], tags: tuple[str, ...]) -> None:
        self._run.summary.update(values)
        self._run.tags += tags

    def close(self, *, done: bool) -> None:
        if self._server.lose:
            raise TrackerError("the last upload: no answer in 120 s")
        self._run.closed.append(done)


def feed(opener: Opener, mode: Mode | None = None) -> Feed:
    """W&B as the environment wants it, or in that mode, with the opener in its place."""
    tracker = trackers()["wandb"]
    found = access(tracker)
    return Feed(tracker, replace(found, mode=mode or found.mode), opener)


def mirror(
    stage: Stage, opener: Opener, mode: Mode = "offline", say: Say = lambda _: None
) -> StageMirror:
    return StageMirror(stage.folder, feed(opener, mode), say)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def stage(runs: Path) -> Stage:
    return Stage(runs)


@pytest.fixture
def wandb() -> FakeWandb:
    return FakeWandb()
