"""What a tracker is asked for, and what it gets: the protocol between the mirror and a tracker.

A tracker is declared by a `harness.spec.declarations.Tracker`. The mirror reads the journal, keeps
the cursor and the lock, and decides what is sent; a tracker opens runs and takes rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from harness import redact as secrets
from harness.spec.declarations import Axis

Mode = Literal["online", "offline", "disabled"]
"""online: runs are delivered to where people look at them; offline: they are kept in files of the
tracker's, and `sync` delivers them later, from the journal; disabled: not at all."""


class TrackerError(Exception):
    """A tracker could not do what it was asked; the journal has it all the same."""


@dataclass(frozen=True)
class Access:
    """How a tracker would be used now: what its `access` tells of an environment.

    Attributes:
        mode: online, offline or disabled.
        project: where among its runs these go; "" if it has no such thing.
        server: the address that must be reached, "https://..."; "" if none must be.
        why: why it is not online, and what to do; "" if it is.
        secrets: what no message may hold, beside what looks like a secret.
    """

    mode: Mode
    project: str = ""
    server: str = ""
    why: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def redact(self, text: str) -> str:
        """`text` with *** in place of whatever is secret in it."""
        for one in self.secrets:
            if len(one) >= secrets.SHORTEST:
                text = text.replace(one, secrets.HIDDEN)
        return secrets.redact(text)


@dataclass(frozen=True)
class Metadata:
    """What a run is opened with.

    Attributes:
        id: of the run; at most 120 of the characters A-Z a-z 0-9 . _ -, and always the same for
            one stage's folder: a run of that id that exists is gone on with.
        name: the stage's id, of any length up to 128.
        group: runs that belong together, e.g. an ablation's.
        job_type: the stage's task.
        project: as `Access` has it.
        folder: the stage's; a tracker may make a folder of its own name in it.
        mode: whether to deliver, or to keep in files.
        config: the recipe, and under "stage" and "provenance" what the stage is.
        tags: of at most 64 characters each.
    """

    id: str
    name: str
    group: str
    job_type: str
    project: str
    folder: Path
    mode: Literal["online", "offline"]
    config: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One record of the journal.

    Attributes:
        number: how many rows the run has before it.
        step: the training step; several rows may have one.
        epoch: the step in epochs.
        time: when it was measured, in seconds since 1970.
        values: by names of metrics.
    """

    number: int
    step: int
    epoch: float | None
    time: float | None
    values: dict[str, Any]


class TrackedRun(Protocol):
    """An open run. Whatever its methods raise ends the mirror of this stage, and nothing else."""

    known: int
    """How many rows are safe at the tracker already: they are not sent again. After a kill the
    mirror goes on from the last run that was closed, so a tracker that says 0 may get rows of
    the same numbers again, and must take each number once. Offline it is always 0: a row that was
    counted is never sent twice."""
    url: str
    """Where people look at the run; "" if nowhere."""

    def define(self, metric: str, axis: Axis) -> None:
        """Say what `metric` is drawn against; comes before its first row."""

    def log(self, row: Row) -> None:
        """Add a row; a number that the tracker has already taken is dropped."""

    def summarise(self, values: dict[str, Any], tags: tuple[str, ...]) -> None:
        """Set the results of a stage that is done, and add tags."""

    def close(self, *, done: bool) -> None:
        """Deliver everything and end the run, for good if the stage is done.

        Raises:
            TrackerError: something may be missing; it will be sent again.
        """


class Opener(Protocol):
    """Opens a tracker's runs. One is made by each process that mirrors, and may remember."""

    def __call__(self, card: Metadata) -> TrackedRun:
        """Open the run, or go on with it.

        Raises:
            TrackerError: it cannot be; what was to go online is then opened offline.
        """
