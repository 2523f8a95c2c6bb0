"""The one place that talks to wandb: opening a run, adding rows to it, closing it.

wandb is imported when the first run is opened, and whatever it does wrong (absent, refused key,
no network, a server that never answers) comes out as a SinkError within a bounded time.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from harness.spec.declarations import Axis
from harness.track.mode import redact
from harness.track.probe import objection

T = TypeVar("T")

INIT_S = 20.0
"""Seconds that W&B may take to answer before a run is mirrored offline."""
CLOSE_S = 120.0
"""Seconds that the last upload of a run may take; `sync` makes good what was left."""
PAUSE_S = 300.0
"""How long no run is tried online after W&B has failed."""
FOREIGN = ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_SERVICE", "WANDB_SWEEP_ID", "WANDB_NOTES")
"""Variables that describe another run than those that are mirrored here."""
GLOBAL_STEP = "global_step"
"""The logged value that training is drawn against; wandb's own step only numbers the rows."""


class SinkError(Exception):
    """wandb could not do what it was asked; the journal has it all the same."""


@dataclass(frozen=True)
class Card:
    """What a W&B run is opened with."""

    id: str
    name: str
    group: str
    job_type: str
    project: str
    folder: Path
    mode: Literal["online", "offline"]
    config: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


class Sink(Protocol):
    """An open W&B run."""

    known: int
    """How many rows the server already holds; they are not sent again."""
    url: str

    def define(self, metric: str, axis: Axis) -> None:
        """Say what `metric` is drawn against."""

    def log(self, row: Mapping[str, Any], number: int) -> None:
        """Add a row to the history; a number that the server has already taken is dropped."""

    def summarise(self, values: Mapping[str, Any], tags: tuple[str, ...]) -> None:
        """Set the run's summary, and add tags."""

    def close(self, *, done: bool) -> None:
        """Deliver everything and end the run. Raises SinkError if something may be missing."""


class Opener(Protocol):
    """Opens W&B runs; the tests' stands in for wandb."""

    def __call__(self, card: Card) -> Sink:
        """Raises SinkError."""


def bounded(action: Callable[[], T], seconds: float, what: str) -> T:
    """The action's value. Raises SinkError if it fails, or does not end in `seconds`."""
    answers: queue.Queue[tuple[bool, Any]] = queue.Queue()

    def work() -> None:
        try:
            answers.put((True, action()))
        except BaseException as error:  # wandb also raises SystemExit and its own kinds
            answers.put((False, error))

    threading.Thread(target=work, daemon=True, name=f"wandb {what}").start()
    try:
        fine, value = answers.get(timeout=seconds)
    except queue.Empty:
        raise SinkError(f"{what}: no answer in {seconds:.0f} s") from None
    if not fine:
        told = " ".join(str(value).split())[:300]
        raise SinkError(redact(f"{what}: {type(value).__name__}: {told}")) from None
    result: T = value
    return result


class WandbOpener:
    """Opens real runs. Stops trying W&B's server for a while when it fails."""

    def __init__(self, init_s: float = INIT_S, close_s: float = CLOSE_S) -> None:
        self._init_s = init_s
        self._close_s = close_s
        self._pause_until = 0.0
        self._failures = 0
        self._stuck: set[str] = set()

    def __call__(self, card: Card) -> Sink:
        if card.mode == "offline":
            run = bounded(lambda: self._init(card), 3 * self._init_s, "opening the run")
        else:
            run = self._online(card)
        return WandbSink(run, card, self._close_s)

    def _online(self, card: Card) -> Any:
        if time.monotonic() < self._pause_until:
            raise SinkError("W&B has just failed; not asked again for the moment")
        if why := bounded(lambda: objection(self._init_s), 2 * self._init_s, "reaching W&B"):
            self._pause_until = time.monotonic() + PAUSE_S
            raise SinkError(redact(why))
        try:
            run = bounded(lambda: self._init(card), 3 * self._init_s, "opening the run")
        except SinkError:  # of this run, perhaps deleted, or of all: two in a row tell
            self._stuck.add(card.id)
            self._failures += 1
            if self._failures > 1:
                self._pause_until = time.monotonic() + PAUSE_S
            raise
        self._failures = 0
        return run

    def _init(self, card: Card) -> Any:
        for name in FOREIGN:
            os.environ.pop(name, None)
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ["WANDB_MODE"] = card.mode  # wandb itself does not take every way to write it
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
            "x_disable_meta": True,  # command line, user, host: the journal's attempt has them
            "x_disable_machine_info": True,
            "x_disable_stats": True,  # they would be the follower's, not the trainer's
            "x_save_requirements": False,
        }
        known = wandb.Settings.model_fields  # some are younger than the oldest supported wandb
        return wandb.init(
            id=f"{card.id}-offline" if card.id in self._stuck else card.id,  # wandb holds on to it
            name=card.name,
            group=card.group,
            job_type=card.job_type,
            project=card.project,
            config=card.config,
            tags=list(card.tags),
            dir=str(card.folder),
            mode=card.mode,
            resume="allow",
            reinit="create_new",
            allow_val_change=True,
            settings=wandb.Settings(**{k: v for k, v in settings.items() if k in known}),
        )


class WandbSink:
    """A run of the installed wandb."""

    def __init__(self, run: Any, card: Card, close_s: float) -> None:
        self._run = run
        self._close_s = close_s
        online = card.mode == "online"
        self.known = int(run.starting_step or 0) if online else 0
        self.url = str(run.url or "") if online else ""
        run.define_metric(GLOBAL_STEP, hidden=True)
        run.define_metric("*", step_metric=GLOBAL_STEP)

    def define(self, metric: str, axis: Axis) -> None:
        self._run.define_metric(metric, step_metric="epoch" if axis == "epoch" else GLOBAL_STEP)

    def log(self, row: Mapping[str, Any], number: int) -> None:
        self._run.log(dict(row), step=number)

    def summarise(self, values: Mapping[str, Any], tags: tuple[str, ...]) -> None:
        self._run.summary.update(dict(values))
        if tags:
            self._run.tags = (*(self._run.tags or ()), *tags)

    def close(self, *, done: bool) -> None:
        def finish() -> None:
            self._run.finish(exit_code=0 if done else 1)

        bounded(finish, 1.5 * self._close_s, "the last upload")
