"""The only module that uses wandb: it opens a run, adds rows to it, and closes it.

wandb is imported when the first run is opened. Whatever fails there (not installed, refused key, no
network, a server that never answers) becomes a TrackerError within a bounded time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from harness.spec.declarations import Axis
from harness.track.bounded import bounded
from harness.track.protocol import Metadata, Row, TrackedRun, TrackerError
from harness.track.wandb.mode import redact
from harness.track.wandb.probe import objection

T = TypeVar("T")

INIT_S = 20.0
"""Seconds that W&B may take to answer before a run is mirrored offline."""
CLOSE_S = 120.0
"""Seconds that the last upload of a run may take; `sync` adds what is missing."""
PAUSE_S = 300.0
"""Seconds during which no run is tried online, after W&B has failed."""
FOREIGN = ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_SERVICE", "WANDB_SWEEP_ID", "WANDB_NOTES")
"""Variables that describe a run other than the mirrored ones."""
GLOBAL_STEP = "global_step"
"""The logged value for training's x axis; wandb's own step only numbers the rows."""


def _bounded(action: Callable[[], T], seconds: float, what: str) -> T:
    """As `bounded`, without W&B's key in the message."""
    try:
        return bounded(action, seconds, what)
    except TrackerError as error:
        raise TrackerError(redact(str(error))) from None


def history(row: Row) -> dict[str, Any]:
    """A row of W&B's history, at the time at which it was measured."""
    values = {**row.values, GLOBAL_STEP: row.step}
    if row.epoch is not None:
        values["epoch"] = row.epoch
    if row.time is not None:
        values["_timestamp"] = row.time
    return values


class WandbOpener:
    """Opens real runs. After failures it stops trying W&B's server for a while."""

    def __init__(self, init_s: float = INIT_S, close_s: float = CLOSE_S) -> None:
        self._init_s = init_s
        self._close_s = close_s
        self._pause_until = 0.0
        self._failures = 0
        self._stuck: set[str] = set()

    def __call__(self, metadata: Metadata) -> TrackedRun:
        if metadata.mode == "offline":
            run = _bounded(lambda: self._init(metadata), 3 * self._init_s, "opening the run")
        else:
            run = self._online(metadata)
        return WandbRun(run, metadata, self._close_s)

    def _online(self, metadata: Metadata) -> Any:
        if time.monotonic() < self._pause_until:
            raise TrackerError("W&B failed a moment ago; the next attempt is later")
        if why := _bounded(lambda: objection(self._init_s), 2 * self._init_s, "reaching W&B"):
            self._pause_until = time.monotonic() + PAUSE_S
            raise TrackerError(redact(why))
        try:
            run = _bounded(lambda: self._init(metadata), 3 * self._init_s, "opening the run")
        except TrackerError:  # this run's, perhaps deleted, or the server's: two in a row show
            self._stuck.add(metadata.id)
            self._failures += 1
            if self._failures > 1:
                self._pause_until = time.monotonic() + PAUSE_S
            raise
        self._failures = 0
        return run

    def _init(self, metadata: Metadata) -> Any:
        for name in FOREIGN:
            os.environ.pop(name, None)
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ["WANDB_MODE"] = metadata.mode  # wandb does not accept every spelling
        import wandb

        settings = {
            "silent": True,
            "console": "off",
            "init_timeout": self._init_s,
            "finish_timeout": self._close_s,
            "finish_timeout_raises": True,
            "disable_code": True,
            "disable_git": True,
            "disable_job_creation": True,
            "save_code": False,
            "program": "moco-harness",  # not the path of a file
            "x_disable_meta": True,  # command line, user, host: the attempt's record has them
            "x_disable_machine_info": True,
            "x_disable_stats": True,  # they would be the follower's, not the trainer's
            "x_save_requirements": False,
        }
        known = wandb.Settings.model_fields  # some are newer than the oldest supported wandb
        return wandb.init(
            id=f"{metadata.id}-offline"
            if metadata.id in self._stuck
            else metadata.id,  # wandb keeps it
            name=metadata.name,
            group=metadata.group,
            job_type=metadata.job_type,
            project=metadata.project,
            config=metadata.config,
            tags=list(metadata.tags),
            dir=str(metadata.folder),
            mode=metadata.mode,
            resume="allow",
            reinit="create_new",
            allow_val_change=True,
            settings=wandb.Settings(**{k: v for k, v in settings.items() if k in known}),
        )


class WandbRun:
    """A run of the installed wandb."""

    def __init__(self, run: Any, metadata: Metadata, close_s: float) -> None:
        self._run = run
        self._close_s = close_s
        online = metadata.mode == "online"
        self.known = int(run.starting_step or 0) if online else 0
        self.url = str(run.url or "") if online else ""
        run.define_metric(GLOBAL_STEP, hidden=True)
        run.define_metric("*", step_metric=GLOBAL_STEP)

    def define(self, metric: str, axis: Axis) -> None:
        self._run.define_metric(metric, step_metric="epoch" if axis == "epoch" else GLOBAL_STEP)

    def log(self, row: Row) -> None:
        self._run.log(history(row), step=row.number)

    def summarise(self, values: dict[str, Any], tags: tuple[str, ...]) -> None:
        self._run.summary.update(values)
        if tags:
            self._run.tags = (*(self._run.tags or ()), *tags)

    def close(self, *, done: bool) -> None:
        def finish() -> None:
            self._run.finish(exit_code=0 if done else 1)

        _bounded(finish, 1.5 * self._close_s, "the last upload")
