"""The newest output of a stage: its job's logs, and its attempt's traceback."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.command import Commands
from harness.errors import StoreError
from harness.launch.job_states import JobState
from harness.launch.last_attempt import last_attempt
from harness.launch.newest_jobs import Schedulers
from harness.launch.progress import in_short
from harness.launch.status import Row, StatusReader
from harness.launch.status_rules import ALIVE
from harness.spec.registry import launchers
from harness.store import atomic, journal, submission
from harness.store.layout import StageFolder
from harness.store.liveness import job_of

JOURNAL = "metrics.jsonl"
LINES = 20
"""Lines of a journal that are printed before those that come."""
BLOCK = 1 << 18
"""Bytes at a journal's end in which they are looked for."""
STATUS_S = 5.0
"""Seconds between two checks whether a followed stage still runs."""


def sources(runs: Path, stage_id: str) -> list[Path]:
    """The files with the newest attempt's output, in reading order.

    For a job these are the output and the errors of its first process, else the attempt's journal,
    which has what the terminal of `run` shows, and its traceback.

    Raises:
        StoreError: the folder or a submission's record cannot be read.
    """
    stage = StageFolder(runs / stage_id)
    attempts = stage.attempts()
    newest = attempts[-1] if attempts else None
    place = submission.newest(submission.everything(runs)).get(stage_id)
    if place is not None:
        made, array, index = place
        element = array.element(index)
        if element is not None and not _since(stage, made, element):
            folder = submission.folder(runs, made.id)
            files = [folder / f"{element}_0_log.{end}" for end in ("out", "err")]
            if there := [path for path in files if path.exists()]:
                return there
    own = [newest / JOURNAL, newest / "traceback.txt"] if newest is not None else []
    return [path for path in own if path.exists() and path.stat().st_size]


def others(path: Path) -> list[Path]:
    """The non-empty error logs of the job's other processes."""
    job = path.name.rpartition("_log.")[0].rpartition("_")[0]
    found = sorted(path.parent.glob(f"{job}_*_log.err"))
    return [p for p in found if not p.name.startswith(f"{job}_0_") and p.stat().st_size]


def _since(stage: StageFolder, made: submission.Submission, element: str) -> bool:
    """Whether the newest attempt started later than the job and without it."""
    attempt = last_attempt(stage)
    if attempt is None:
        return False
    inside = launchers()[made.on].inside if made.on in launchers() else None
    own = Schedulers().of(made.on).is_of(attempt, made, JobState(element, "GONE"))
    if own or (job_of(attempt.who) is None and inside is None):
        return False
    return attempt.began > made.t


@dataclass
class Printer:
    """Prints files, and on later calls only their new content."""

    write: Callable[[str], object]
    _read: dict[Path, int] = field(default_factory=dict)
    _last: Path | None = None

    def print(self, path: Path) -> None:
        """Print the file's new content, under its name."""
        first, journalled = path not in self._read, path.name == JOURNAL
        try:
            with atomic.opened(path) as file:
                size = file.seek(0, os.SEEK_END)
                before = max(0, size - BLOCK) if first and journalled else self._read.get(path, 0)
                file.seek(before)
                data = file.read()
        except OSError:
            return
        if journalled:
            data = data[: data.rfind(b"\n") + 1]
        if not data:
            return
        self._read[path] = before + len(data)
        text = data.decode(errors="replace")
        if journalled:
            text = "".join([f"{each}\n" for each in _told(data)][-LINES if first else 0 :])
        if path != self._last and text:
            self.write(f"==> {path} <==\n")
            self._last = path
        self.write(text)


def _told(data: bytes) -> Iterator[str]:
    """The lines of a journal as the terminal of `run` tells them."""
    for record in (found for line in data.split(b"\n") if (found := journal.parse(line))):
        values = {k: float(v) for k, v in record.items() if isinstance(v, int | float) and "/" in k}
        epoch = record.get("epoch")
        where = f"epoch {epoch:.1f}, " if isinstance(epoch, float) else ""
        yield f"{where}step {record['step']}" + (f" · {said}" if (said := in_short(values)) else "")


def follow(commands: Commands, stage_id: str, write: Callable[[str], object]) -> Row:
    """Print the stage's logs as they grow, until nothing works on it any more; returns its last
    row.

    Raises:
        StoreError: the run root cannot be read.
    """
    runs = commands.runs
    reader, printer = StatusReader(runs, commands=commands), Printer(write)
    said = ""
    while True:
        row = reader.read({stage_id}).rows[0]
        until = time.monotonic() + STATUS_S
        while True:
            for path in sources(runs, stage_id):
                printer.print(path)
            if not alive(row):
                return row
            if row.state != "running" and row.why != said:
                said = row.why
                write(f"{stage_id}: {row.state}: {row.why}\n")
            if time.monotonic() > until:
                break
            time.sleep(1)


def alive(row: Row) -> bool:
    """Whether a process or job works on the stage, or will without a new command."""
    if row.state in ALIVE:
        return True
    return row.state == "interrupted" and row.job is not None and row.job.live


def verdict(commands: Commands, row: Row) -> Iterator[str]:
    """How the stage ended, in full: the state, what to do, and how to run it again."""
    yield f"{row.id}: {row.state}" + (f": {row.why}" if row.why else "")
    if row.remedy:
        yield f"what to do: {row.remedy}"
    try:
        found = sources(commands.runs, row.id)
    except StoreError:
        found = []
    if found:
        yield "logs: " + ", ".join(map(str, [*found, *others(found[0])]))
    if row.over:
        again = "mend that, then run again" if row.explained else "run again"
        yield f"{again}: {row.again(commands) or 'the same `moco-harness run`'}"
