"""The protocol between a mirror and a tracker: what a tracker must do, and what it gets.

A tracker is declared by a `harness.spec.declarations.Tracker`. The mirror reads the journal, keeps
the cursor and the lock, and decides what is sent. A tracker opens runs and takes rows. What else a
run may take is in `Extras`: a tracker that lacks one of them is not called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from harness import redact as secrets
from harness.spec.declarations import Axis

Mode = Literal["online", "offline", "disabled"]
"""online: runs are delivered to the server; offline: they are kept in the tracker's files, and
`sync` delivers them later, from the journal; disabled: no mirror."""


class TrackerError(Exception):
    """A tracker could not do what was asked; the journal still has the data."""


@dataclass(frozen=True)
class Access:
    """How a tracker would be used now, as its `access` reads it from an environment.

    Attributes:
        mode: online, offline or disabled.
        project: the project of these runs; "" if the tracker has none.
        server: the address that must be reachable, "https://..."; "" if none.
        why: why it is not online, and what to do; "" if it is.
        secrets: strings to hide in messages, besides those that are recognised as secrets.
    """

    mode: Mode
    project: str = ""
    server: str = ""
    why: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def redact(self, text: str) -> str:
        """`text` with every secret in it replaced by ***."""
        for one in self.secrets:
            if len(one) >= secrets.SHORTEST:
                text = text.replace(one, secrets.HIDDEN)
        return secrets.redact(text)


@dataclass(frozen=True)
class Metadata:
    """The metadata that a run is opened with.

    Attributes:
        id: of the run; at most 120 of the characters A-Z a-z 0-9 . _ -, and always the same for
            one stage's folder: an existing run of that id is resumed.
        name: the stage's id, up to 128 characters.
        group: runs that belong together, e.g. an ablation's.
        job_type: the stage's task.
        project: as in `Access`.
        folder: the stage's, or the report's; a tracker may make a folder of its own name in it.
        mode: whether to deliver, or to keep in files.
        config: the recipe; the stage's own facts are under "stage" and "provenance", the cell of an
            ablation under "cell", the fields that tell its cells apart under "varies/FIELD".
        tags: of at most 64 characters each.
        runs: the run root; a tracker may make a folder of its own name in it for all its runs. None
            if unknown.
        notes: the command that made it, without secrets.
        pid: the process whose use of the machine the run may show; None: none.
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
    runs: Path | None = None
    notes: str = ""
    pid: int | None = None


@dataclass(frozen=True)
class Artifact:
    """Something that a run reads or makes: data, weights, a result, a report.

    It is the same artifact wherever its name, its files and its addresses are the same.

    Attributes:
        name: at most 120 of the characters A-Z a-z 0-9 . _ -
        kind: dataset, model, evaluation or report.
        files: path in the artifact -> a small file, to be uploaded.
        references: path in the artifact -> address of what stays where it is, however large:
            "moco-harness://..." with a digest of the content, relative to the run root.
        metadata: plain values.
    """

    name: str
    kind: str
    files: Mapping[str, Path] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """A PNG file, and what it shows in words."""

    file: Path
    caption: str


@dataclass(frozen=True)
class TrackedTable:
    """A table: a value is a text, a number, or None where there is none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]


@dataclass(frozen=True)
class Row:
    """One record of the journal.

    Attributes:
        number: how many rows the run has before it.
        step: the training step; several rows may share it.
        epoch: the step in epochs.
        time: when it was measured, in seconds since 1970.
        values: by metric name.
    """

    number: int
    step: int
    epoch: float | None
    time: float | None
    values: dict[str, Any]


class TrackedRun(Protocol):
    """An open run. An exception from its methods ends the mirror of this stage, nothing else."""

    known: int
    """How many rows the tracker has for certain: they are not sent again. After a kill the mirror
    resumes from the last run that was closed. So a tracker that says 0 may get rows with the same
    numbers again, and must take each number once. Offline it is always 0: a row that was counted is
    never sent twice."""
    url: str
    """The address of the run's page; "" if there is none."""

    def define(self, metric: str, axis: Axis) -> None:
        """Set the x axis of `metric`; called before its first row."""

    def log(self, row: Row) -> None:
        """Add a row; a number that the tracker has already is ignored."""

    def summarise(self, values: dict[str, Any], tags: tuple[str, ...]) -> None:
        """Set the results of a finished stage, and add tags."""

    def close(self, *, done: bool) -> None:
        """Deliver everything and end the run, for good if the stage is finished.

        Raises:
            TrackerError: something may be missing; it will be sent again.
        """


class Extras:
    """What a tracked run may take besides rows. Each method is optional, these do nothing."""

    def artifact(self, artifact: Artifact, *, made: bool) -> None:
        """Record that the run made the artifact, or else that it used it. It may come again."""

    def table(self, name: str, table: TrackedTable) -> None:
        """Show a table; one that came before under the name is replaced."""

    def pictures(self, name: str, pictures: Sequence[Picture]) -> None:
        """Show pictures; those that came before under the name are replaced."""

    def alert(self, title: str, text: str) -> None:
        """Tell people of something that needs their eyes; each title comes once in a run.

        Args:
            title: at most 60 characters.
        """

    def remove_earlier(self) -> None:
        """Remove what earlier openings of this run keep on this machine. Called of a report's run
        after `close`, when this one has all of the newest report; earlier ones have none of it."""


def extras(run: TrackedRun) -> Extras:
    """The run's extras: its own methods, and for those it lacks ones that do nothing."""
    found = Extras()
    for name in ("artifact", "table", "pictures", "alert", "remove_earlier"):
        if (own := getattr(run, name, None)) is not None:
            setattr(found, name, own)
    return found


def removes_earlier(run: TrackedRun) -> bool:
    """Whether the run has a `remove_earlier` of its own."""
    own = getattr(type(run), "remove_earlier", Extras.remove_earlier)
    return own is not Extras.remove_earlier


class Opener(Protocol):
    """Opens a tracker's runs. Each process that mirrors makes one; it may keep state.

    If its attribute `shows_machine_use` is true, it also opens runs without rows, named ID-rankN,
    that show how the process `pid` of their metadata uses its machine. It may also have a method
    `deliver(runs: Path, ids: Collection[str], beat: Beat) -> int`. `sync` calls it online with the
    ids of complete runs: it uploads what the tracker kept offline and no journal has, namely these
    runs without rows, calls `beat` on progress, and returns how many there were.
    """

    def __call__(self, metadata: Metadata) -> TrackedRun:
        """Open the run, or resume it.

        Raises:
            TrackerError: it cannot be opened; an online run is then opened offline.
        """
