"""The status of each stage: from its own files first, then from its newest job.

A stage with a result is done, whatever its job's state; one that writes is running. Only if the
files leave the status open does the job decide: it waits, was ended, or is lost.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.command import PROGRAM, Commands
from harness.errors import StoreError
from harness.launch import last_attempt
from harness.launch.failure_reason import tail
from harness.launch.job_states import JobState
from harness.launch.newest_jobs import Schedulers, newest_jobs
from harness.launch.status_rules import NEVER, Evidence, StageState, status_of
from harness.store import atomic, submission
from harness.store.layout import StageFolder, is_name
from harness.store.ledger import DONE, Entry, everything, read_entry
from harness.store.stale import CheckInput, why_stale
from harness.store.submission import Submission
from harness.store.validity import copies, why_copy
from harness.store.validity_cache import validity_cache


@dataclass(frozen=True)
class Row:
    """The status of one stage, for a person."""

    id: str
    state: StageState | Literal["stale"]
    """stale: done, but its stage.json is of another version or another stage, its weights or data
    differ from its parent's or its inputs' present ones, or it shares what must be unique to a
    stage."""
    why: str
    """The reason in words, in full."""
    entry: Entry
    remedy: str = ""
    """What to do before it is run again; "" if nothing."""
    job: JobState | None = None
    submission: Submission | None = None
    node: str = ""
    log: Path | None = None
    """Its newest job's log (.err, else .out), if there is one."""
    explained: bool = False
    """It failed by an error of the harness, whose words are `why`: run again unchanged, it would
    fail alike."""

    @property
    def over(self) -> bool:
        """It has no result, and nothing works on it or will."""
        return self.state in ("interrupted", "cancelled", "failed", "lost") and not (
            self.job is not None and self.job.live
        )

    @property
    def parent(self) -> str:
        return _parent(self.entry)

    def again(self, commands: Commands) -> str:
        """The command that runs it again in the run root of `commands`; "" if it was not
        recorded."""
        if self.submission is not None:
            made = self.submission
            if found := commands.again(made.command, made.folder):
                return found
            sets = (word for text in made.sets for word in ("--set", text))
            return commands.again([PROGRAM, "run", made.recipe, *sets], made.folder)
        try:
            attempts = self.entry.folder.attempts()
            told = atomic.read_json(attempts[-1] / "attempt.json") if attempts else None
        except StoreError:
            told = None
        words = told.get("command") if isinstance(told, dict) else None
        if not isinstance(told, dict) or not isinstance(words, list):
            return ""
        return commands.again([*map(str, words)], str(told.get("folder") or ""))


@dataclass(frozen=True)
class Statuses:
    """The statuses of one run root at one time."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    """What could not be queried or read, in sentences."""


class StatusReader:
    """Reads a run root's statuses on every call; what can no longer change is read only once."""

    def __init__(
        self, runs: Path, inputs: CheckInput | None = None, commands: Commands | None = None
    ) -> None:
        """`inputs` checks data and weights; None: they are not checked. `commands` are used in
        remedies; None: the commands without a site file."""
        self._runs, self._inputs = runs, inputs
        self._commands = commands or Commands(runs)
        self._schedulers = Schedulers()
        self._seen: dict[str, tuple[str, Entry]] = {}

    def read(self, wanted: Collection[str] | None = None) -> Statuses:
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
                while id_ and id_ not in entries:  # parents too: they may be why a child ended
                    entries[id_] = read_entry(StageFolder(self._runs / id_))
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
            answer = newest_jobs(self._runs, made, open_, self._schedulers)
            jobs, notes = dict(answer.states), [*notes, *answer.notes]
        quiet = [
            jobs[id_]
            for id_ in open_ & jobs.keys()
            if jobs[id_].phase == "runs" and jobs[id_].live
            if entries[id_].unresponsive or _was_cut_off(entries[id_])
        ]
        mute = {
            (on, node)
            for on in {job.on for job in quiet}
            for node in self._schedulers.of(on).unresponsive(
                job.node for job in quiet if job.on == on
            )
        }
        rows = {}
        shared = copies({i: (e.described, e.result) for i, e in entries.items() if e.result})
        for id_, entry in sorted(entries.items()):
            above = entries.get(_parent(entry))
            place = handed.get(id_) if id_ in open_ else None
            job = jobs.get(id_)
            no_answer = job is not None and (job.on, job.node) in mute
            made_in = place[0] if place else None
            row = self._stale(entry, above) or self._row(entry, made_in, job, no_answer=no_answer)
            if id_ in shared and row.state in DONE:
                row = replace(row, state="stale", why=why_copy(*shared[id_]))
            rows[id_] = row
        validity_cache(self._runs).save()
        told = tuple(_with_parents(rows))
        return Statuses(tuple(r for r in told if wanted is None or r.id in wanted), tuple(notes))

    def _stale(self, entry: Entry, above: Entry | None) -> Row | None:
        if not entry.done:
            return None
        cache = validity_cache(self._runs)
        why = why_stale(entry, above, None, None, self._inputs) or cache.why_wrong(
            entry.folder.id, "stage.json", lambda: _why_misnamed(entry.folder)
        )
        return Row(entry.folder.id, "stale", why, entry) if why else None

    def _row(
        self, entry: Entry, made: Submission | None, job: JobState | None, *, no_answer: bool
    ) -> Row:
        if entry.done or entry.state in ("damaged", "unreadable"):
            return Row(entry.folder.id, entry.state, entry.detail, entry)
        attempt = last_attempt.last_attempt(entry.folder)
        own = (
            attempt is not None
            and made is not None
            and job is not None
            and self._schedulers.of(made.on).is_of(attempt, made, job)
        )
        since = attempt is not None and made is not None and not own and attempt.began > made.t
        if since and not (job is not None and job.live):
            made = job = None  # it was run again without a job
        log = log_of(self._runs, made, job) if made is not None and job is not None else None
        seen = Evidence(
            ledger=entry.state,
            detail=entry.detail,
            job=job,
            handed=made is not None,
            own=own,
            ended=attempt.ended if attempt is not None and own else "",
            lost=attempt.lost if attempt is not None and own else "",
            background=made is not None and any(array.kind == "all" for array in made.arrays),
            unresponsive=entry.unresponsive,
            no_answer=no_answer,
            log=tail(log) if log is not None and job is not None and not job.live else "",
            kind=str((entry.described or {}).get("kind", "pretrain")),
            user=made.user if made is not None else "",
            commands=self._commands,
        )
        state, why, remedy = status_of(seen)
        node = ""
        if state in ("running", "suspended", "silent", "ending"):
            at_work = attempt.host if attempt is not None else ""
            node = (job.node if job is not None and job.live else "") or at_work
        by_us = attempt is not None and attempt.ended == "failed" and not attempt.traced
        by_us = (by_us and why == entry.detail) or f"error: {why}\n" in f"{seen.log}\n"
        explained = state == "failed" and by_us and not (remedy or _LOST_PEER.match(why))
        return Row(entry.folder.id, state, why, entry, remedy, job, made, node, log, explained)


def _why_misnamed(folder: StageFolder) -> str | None:
    from harness.recipe.identity import why_misnamed

    try:
        return why_misnamed(folder.described or {})
    except StoreError:
        return None


def _was_cut_off(entry: Entry) -> bool:
    """Its newest attempt recorded no end: its process is dead, or cannot be seen."""
    attempts = entry.folder.attempts() if entry.state == "interrupted" else []
    return bool(attempts) and not (attempts[-1] / "ended.json").exists()


def _with_parents(rows: Mapping[str, Row]) -> Iterator[Row]:
    """The rows; a stage that never ran because of its parent names it."""
    for row in rows.values():
        never = row.job is not None and row.job.reason == NEVER
        above = rows.get(row.parent)
        bad = above is not None and (above.over or above.state in ("diverged", *_WORDS))
        left = row.state == "lost" or (row.state == "cancelled" and " by " not in row.why)
        ended = row.state == "failed" and above is not None and above.state == "diverged"
        if row.parent and (never or (bad and (left or ended))):
            word = _WORDS.get(above.state, above.state) if above is not None and bad else "failed"
            yield replace(row, state="cancelled", why=f"its parent {row.parent} {word}")
        else:
            yield row


_LOST_PEER = re.compile(r"rank \d+ lost contact")
"""Another process ended the stage: there is nothing to mend."""

_UNREAD = (
    "the journals of {} finished stages are too large to check in one call; the next call continues"
)

_WORDS = {
    "cancelled": "was cancelled",
    "damaged": "is damaged",
    "interrupted": "was interrupted",
    "lost": "was lost",
    "unreadable": "cannot be read",
}


def _parent(entry: Entry) -> str:
    named = (entry.described or {}).get("parent")
    return named if isinstance(named, str) and is_name(named) else ""


def log_of(runs: Path, made: Submission, job: JobState, rank: int = 0) -> Path | None:
    """The log of the job's process `rank`: its .err if it is not empty, else its .out."""
    folder = submission.folder(runs, made.id)
    found = [folder / f"{job.job}_{rank}_log.{end}" for end in ("err", "out")]
    there = [path for path in found if path.exists()]
    return next((path for path in there if os.path.getsize(path)), next(iter(there), None))  # noqa: PTH202
