"""What became of each stage: its own files first, then what SLURM says of its newest job.

A stage with a result is done, whatever SLURM says; one that writes is running. Only where the files
leave it open does the job decide: one that waits, one that was ended, one that vanished.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.errors import StoreError
from harness.launch import lives
from harness.launch.decide import NEVER, Evidence, State, decide
from harness.launch.lives import Life
from harness.launch.queue import JobState, Queue
from harness.launch.reasons import tail
from harness.launch.survey import survey
from harness.store import atomic, submission
from harness.store.layout import StageFolder, is_name
from harness.store.ledger import DONE, Entry, everything, look
from harness.store.stale import why_other
from harness.store.submission import Submission
from harness.store.validity import copies, why_copy


@dataclass(frozen=True)
class Row:
    """One stage for a person."""

    id: str
    state: State | Literal["stale"]
    """stale: done, but its stage.json is of another version, or of another stage, or it shares
    what no two stages share."""
    why: str
    """In words; whole."""
    entry: Entry
    remedy: str = ""
    """What to do before it is run again; "" if nothing but that."""
    job: JobState | None = None
    submission: Submission | None = None
    node: str = ""
    log: Path | None = None
    """Its newest job's log (.err, else .out), if there is one."""

    @property
    def over(self) -> bool:
        """It has no result, and nobody works on it or will."""
        return self.state in ("interrupted", "cancelled", "failed", "lost") and not (
            self.job is not None and self.job.live
        )

    @property
    def parent(self) -> str:
        return _parent(self.entry)

    @property
    def again(self) -> str:
        """The command that runs it again; "" if nobody wrote it down."""
        if self.submission is not None:
            sets = (word for text in self.submission.sets for word in ("--set", text))
            return shlex.join(["moco-harness", "run", self.submission.recipe, *sets])
        try:
            attempts = self.entry.folder.attempts()
            told = atomic.read_json(attempts[-1] / "attempt.json") if attempts else None
        except StoreError:
            told = None
        words = told.get("command") if isinstance(told, dict) else None
        if not isinstance(words, list) or not words:
            return ""
        program, *rest = map(str, words)
        # python -m harness.cli is written down as the file that it runs
        return shlex.join(["moco-harness" if program == "__main__.py" else program, *rest])


@dataclass(frozen=True)
class Look:
    """One look at a run root."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    """What could not be asked or read, in sentences."""


class Truth:
    """Looks at a run root again and again; what cannot change any more is not read twice."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._queue = Queue()
        self._seen: dict[str, tuple[str, Entry]] = {}

    def look(self, wanted: Collection[str] | None = None) -> Look:
        """The rows of all stages, or of those in `wanted`, by id.

        Raises:
            StoreError: the run root cannot be read.
        """
        unread: list[str] = []
        if wanted is None:
            found = everything(self._runs, self._seen, unread)
            entries = {entry.folder.id: entry for entry in found}
        else:
            entries = {}
            for id_ in wanted:
                while id_ and id_ not in entries:  # the parents too: a child's end may be theirs
                    entries[id_] = look(StageFolder(self._runs / id_))
                    id_ = _parent(entries[id_])
        notes = [_UNREAD.format(len(unread))] if unread else []
        made: list[Submission] = []
        try:
            made = submission.everything(self._runs)
        except StoreError as error:
            notes.append(str(error))
        handed = submission.newest(made)
        for id_, (one, array, _) in handed.items():
            if wanted is None and id_ not in entries:
                about = {"id": id_, "group": one.name, "kind": array.kind}
                entries[id_] = Entry(StageFolder(self._runs / id_), "absent", described=about)
        open_ = {id_ for id_, entry in entries.items() if not entry.done and id_ in handed}
        jobs: dict[str, JobState] = {}
        if open_:
            jobs, answer = survey(self._runs, made, open_, self._queue)
            notes += answer.notes
        rows = {}
        shared = copies({i: (e.described, e.result) for i, e in entries.items() if e.result})
        for id_, entry in sorted(entries.items()):
            place = handed.get(id_) if id_ in open_ else None
            row = _row(self._runs, entry, place[0] if place else None, jobs.get(id_))
            if id_ in shared and row.state in DONE:
                row = replace(row, state="stale", why=why_copy(*shared[id_]))
            rows[id_] = row
        told = tuple(_with_parents(rows))
        return Look(tuple(r for r in told if wanted is None or r.id in wanted), tuple(notes))


def _row(runs: Path, entry: Entry, made: Submission | None, job: JobState | None) -> Row:
    if entry.done and (why := why_other(entry)):
        return Row(entry.folder.id, "stale", why, entry)
    if entry.done or entry.state == "damaged":
        return Row(entry.folder.id, entry.state, entry.detail, entry)
    attempt = lives.newest(entry.folder)
    own = made is not None and job is not None and _is_of(attempt, made, job)
    since = attempt is not None and made is not None and not own and attempt.began > made.t
    if since and not (job is not None and job.live):
        made = job = None  # it was run without a job since
    log = log_of(runs, made, job) if made is not None and job is not None else None
    seen = Evidence(
        ledger=entry.state,
        detail=entry.detail,
        job=job,
        handed=made is not None,
        own=own,
        ended=attempt.ended if attempt is not None and own else "",
        lost=attempt.lost if attempt is not None and own else "",
        background=made is not None and made.on != "slurm",
        log=tail(log) if log is not None and job is not None and not job.live else "",
        kind=str((entry.described or {}).get("kind", "pretrain")),
    )
    state, why, remedy = decide(seen)
    node = ""
    if state == "running":
        at_work = attempt.host if attempt is not None else ""
        node = (job.node if job is not None and job.live else "") or at_work
    return Row(entry.folder.id, state, why, entry, remedy, job, made, node, log)


def _with_parents(rows: Mapping[str, Row]) -> Iterator[Row]:
    """The rows; one that never came to run because of its parent says so."""
    for row in rows.values():
        never = row.job is not None and row.job.reason == NEVER
        above = rows.get(row.parent)
        bad = above is not None and (above.over or above.state in ("diverged", "damaged"))
        left = row.state == "lost" or (row.state == "cancelled" and " by " not in row.why)
        ended = row.state == "failed" and above is not None and above.state == "diverged"
        if row.parent and (never or (bad and (left or ended))):
            word = _WORDS.get(above.state, above.state) if above is not None and bad else "failed"
            yield replace(row, state="cancelled", why=f"its parent {row.parent} {word}")
        else:
            yield row


_UNREAD = (
    "the journals of {} finished stages are not checked yet, for their size: the next call goes on"
)

_WORDS = {
    "cancelled": "was cancelled",
    "damaged": "is damaged",
    "interrupted": "was interrupted",
    "lost": "was lost",
}


def _parent(entry: Entry) -> str:
    named = (entry.described or {}).get("parent")
    return named if isinstance(named, str) and is_name(named) else ""


def _is_of(attempt: Life | None, made: Submission, job: JobState) -> bool:
    """Whether the attempt is a life of the job."""
    if attempt is None:
        return False
    if made.on == "slurm":
        return attempt.of(job.job, made.cluster)
    free = not attempt.who.get("slurm")
    return free and attempt.host == made.host and attempt.began >= made.t


def log_of(runs: Path, made: Submission, job: JobState, rank: int = 0) -> Path | None:
    """The log of the job's process `rank`: its .err if it says anything, else its .out."""
    folder = submission.folder(runs, made.id)
    found = [folder / f"{job.job}_{rank}_log.{end}" for end in ("err", "out")]
    there = [path for path in found if path.exists()]
    return next((path for path in there if os.path.getsize(path)), next(iter(there), None))  # noqa: PTH202
