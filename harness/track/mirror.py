"""A stage's mirror in Weights & Biases, brought up to date from its journal.

The journal is the truth: a mirror is one W&B run a stage, to which settled records are added (see
`tail`). A restart repeats nothing. Offline, wandb.json counts a row before it is written: a kill
may leave rows out of an offline file, never twice in it. Online, it counts what W&B has confirmed
when a run was closed; what was sent after that is sent again, under the same row numbers, of which
wandb takes each once. So what a kill or a lost network left out, `sync` adds, and a stage that was
mirrored offline is rebuilt online from the journal, not from its offline files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import StoreError
from harness.spec.registry import axis_of
from harness.store.journal import NOT_METRICS, Record
from harness.store.layout import StageFolder, stage_folder
from harness.store.ledger import DONE, everything, look
from harness.track import card, cursor
from harness.track.mode import Mode, credentials, decide
from harness.track.sink import Opener, Sink, SinkError, WandbOpener
from harness.track.tail import Progress, Tail, newest_checkpoint

Say = Callable[[str], object]
Standing = Literal["waiting", "busy", "open", "complete", "failed"]


class StageMirror:
    """Mirrors one stage; `advance` as often as one likes, then `close`. Neither ever raises.

    Attributes:
        standing: waiting (nothing to mirror yet), busy (another process mirrors it), open,
            complete (the stage is done and mirrored), or failed (given up; `trouble` says why).
        added: rows that this object added.
    """

    def __init__(
        self,
        folder: StageFolder,
        mode: Literal["online", "offline"],
        opener: Opener,
        say: Say = print,
        *,
        fall_back: bool = True,
    ) -> None:
        self.folder = folder
        self.mode: Literal["online", "offline"] = mode
        self.standing: Standing = "waiting"
        self.trouble = ""
        self.added = 0
        self.url = ""
        self._opener, self._say, self._fall_back = opener, say, fall_back
        self._lock = cursor.Lock(folder.path / "wandb.lock")
        self._cursor: cursor.Cursor | None = None
        self._tail: Tail | None = None
        self._sink: Sink | None = None
        self._upto: int | None = -1
        self._defined: set[str] = set()

    @property
    def over(self) -> bool:
        return self.standing in ("complete", "failed")

    def advance(self) -> None:
        """Mirror what has settled since the last time; with the stage done, end its mirror."""
        if not self.over:
            self._guarded(self._advance)

    def close(self) -> None:
        """End the W&B run of a stage that is not done: another attempt goes on with it."""
        if self._sink is not None:
            self._guarded(lambda: self._end(done=False))
        self._lock.release()

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (StoreError, SinkError, OSError) as error:
            self._give_up(str(error))
        except Exception as error:  # wandb's, or a damaged file's: never the trainer's trouble
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, why: str) -> None:
        self.standing, self.trouble = "failed", why
        self._sink = None
        self._lock.release()
        self._say(f"{self.folder.id}: not mirrored further: {why}")

    def _advance(self) -> None:
        if not (self.folder.path / "stage.json").exists():
            return
        if not self._lock.acquire():
            self.standing = "busy"
            return
        if self._cursor is None:
            self._begin()
            if self.over:
                return
        result = self.folder.result
        done = result is not None and result["state"] in DONE
        if done and (entry := look(self.folder)).state == "damaged":
            raise StoreError(entry.detail)
        upto = None if done else newest_checkpoint(self.folder)
        if upto == self._upto:
            return
        assert self._tail is not None
        start = self._tail.progress.rows
        records = self._tail.settled(upto)
        self._upto = upto
        if records or done:
            self._add(records, start, upto)
        if done and result is not None and self._sink is not None:
            state = str(result["state"])
            tags = () if state == "finished" else (state,)
            self._sink.summarise(card.summary(result), tags)
            self._end(done=True)

    def _begin(self) -> None:
        """Read the cursor, now that it is ours."""
        self._cursor = found = cursor.load(self.folder)
        self.url, self.standing = found.url, "waiting"
        if found.online.complete or (self.mode == "offline" and found.offline.complete):
            self.standing = "complete"
            self._lock.release()
            return
        self._tail = Tail(self.folder, self._from(found))

    def _from(self, found: cursor.Cursor) -> Progress:
        """Where this mirror goes on: an offline file also after what is online already."""
        if self.mode == "online":
            return found.online.copy()
        return max(found.offline, found.online, key=lambda progress: progress.rows).copy()

    def _add(self, records: list[Record], start: int, upto: int | None) -> None:
        assert self._cursor is not None
        assert self._tail is not None
        if self._sink is None:
            try:
                self._open()
            except SinkError as error:
                if self.mode == "offline" or not self._fall_back:
                    raise
                self._say(f"{self.folder.id}: mirrored offline, `sync` uploads it: {error}")
                self.mode = "offline"
                self._tail = Tail(self.folder, self._from(self._cursor))
                start = self._tail.progress.rows
                records = self._tail.settled(upto)
                self._open()
        assert self._sink is not None
        if self.mode == "offline":
            self._cursor.offline = self._tail.progress.copy()
            self._cursor.save(self.folder)
        for number, record in enumerate(records, start):
            for name in record.keys() - NOT_METRICS - self._defined:
                self._sink.define(name, axis_of(name))
                self._defined.add(name)
            if number >= self._sink.known:
                self._sink.log(card.row(record), number)
                self.added += 1

    def _open(self) -> None:
        assert self._cursor is not None
        self._cursor.mode = self.mode
        self._sink = self._opener(card.describe(self.folder, self._cursor, self.mode))
        self.standing = "open"
        if self._sink.url:
            self.url = self._cursor.url = self._sink.url
            self._cursor.save(self.folder)

    def _end(self, *, done: bool) -> None:
        assert self._cursor is not None
        assert self._tail is not None
        assert self._sink is not None
        sink, self._sink = self._sink, None
        sink.close(done=done)
        progress = self._tail.progress.copy()
        progress.complete = done
        setattr(self._cursor, self.mode, progress)
        self._cursor.save(self.folder)
        self.standing = "complete" if done else "open"
        self._lock.release()


@dataclass(frozen=True)
class Outcome:
    """What `sync` did with a stage.

    Attributes:
        state: already (was complete online), uploaded (now complete), partly (up to the newest
            checkpoint of a stage that is not done), nothing (nothing to upload yet), busy (another
            process mirrors it), waiting (no key, or offline), or failed.
        rows: rows added to the run's history.
    """

    stage_id: str
    state: Literal["already", "uploaded", "partly", "nothing", "busy", "waiting", "failed"]
    rows: int = 0
    url: str = ""
    message: str = ""


def sync(
    runs: Path,
    stage_ids: Iterable[str] | None = None,
    say: Say = print,
    *,
    opener: Opener | None = None,
) -> list[Outcome]:
    """Bring the stages (None: all under `runs`) up to date online. Again: does nothing more."""
    if stage_ids is None:
        folders = [entry.folder for entry in everything(runs)]
    else:
        folders = [stage_folder(runs, stage_id) for stage_id in stage_ids]
    mode = decide()
    use = opener or WandbOpener()
    outcomes = []
    for folder in folders:
        outcome = _sync(folder, mode, use)
        outcomes.append(outcome)
        if outcome.state != "already":
            told = " · ".join(filter(None, (outcome.message, outcome.url)))
            say(f"{folder.id}: {outcome.state}, {outcome.rows} rows{': ' if told else ''}{told}")
    return outcomes


def _sync(folder: StageFolder, mode: Mode, opener: Opener) -> Outcome:
    try:
        folder.refuse_links()
        found = cursor.peek(folder)
        if folder.described is None:
            return Outcome(folder.id, "failed", message="no such stage; `status` lists them")
    except StoreError as error:
        return Outcome(folder.id, "failed", message=str(error))
    if found is not None and found.online.complete:
        return Outcome(folder.id, "already", url=found.url)
    if mode != "online":
        why = f"W&B is set to {mode}" if credentials() else "no W&B key; set one with `wandb login`"
        return Outcome(folder.id, "waiting", message=f"{why}; the journal keeps everything")
    mirror = StageMirror(folder, "online", opener, lambda _: None, fall_back=False)
    mirror.advance()
    mirror.close()
    if mirror.standing == "failed":
        return Outcome(folder.id, "failed", mirror.added, mirror.url, mirror.trouble)
    if mirror.standing == "complete":
        return Outcome(folder.id, "uploaded", mirror.added, mirror.url)
    if mirror.standing == "busy":
        return Outcome(folder.id, "busy", message="another process is mirroring it now")
    return Outcome(folder.id, "partly" if mirror.url else "nothing", mirror.added, mirror.url)
