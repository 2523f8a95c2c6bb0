"""A stage's mirror in a tracker, updated from its journal.

The journal is the source of truth. A mirror is one run of the tracker for each stage. It gets the
records that can no longer change (see `tail`); a restart repeats none. Offline, the cursor counts a
row before it is written: a kill may leave rows out of an offline file, but never writes them twice.
Online, it counts what the tracker confirmed when a run was closed. Later rows are sent again under
the same row numbers, and the tracker takes each number once. `sync` adds what a kill or a lost
network left out. It rebuilds offline stages online from the journal, not from offline files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from harness.errors import StoreError
from harness.spec.registry import axis_of
from harness.store.journal import NOT_METRICS, Record
from harness.store.layout import StageFolder
from harness.store.ledger import DONE, read_entry
from harness.track import alerts, lineage, metadata, mirror_state
from harness.track.bounded import Beat
from harness.track.feed import Feed
from harness.track.machine_use import works_on
from harness.track.metadata import shown_pictures
from harness.track.protocol import TrackedRun, TrackerError, extras
from harness.track.tail import Progress, Tail, newest_checkpoint

Say = Callable[[str], object]
Standing = Literal["waiting", "busy", "open", "complete", "failed"]


class StageMirror:
    """Mirrors one stage: call `advance` any number of times, then `close`. Neither ever raises.

    Args:
        feed: the tracker, whose mode is online or offline.
        beat: called whenever the tracker has accepted data.
        fall_back: whether a run that cannot be opened online is opened offline.
        pid: the process whose use of the machine an online run shows; None: none. Offline it is a
            run of its own (harness.track.machine_use), as no journal has it.

    Attributes:
        standing: waiting (nothing to mirror yet), busy (another process mirrors it), open,
            complete (the stage is finished and mirrored), or failed (given up; see `trouble`).
        added: rows that this object added.
        left_out: what was refused of the stage's alerts, artifacts and pictures, and why.
    """

    def __init__(
        self,
        folder: StageFolder,
        feed: Feed,
        say: Say = print,
        *,
        beat: Beat = lambda: None,
        fall_back: bool = True,
        pid: int | None = None,
    ) -> None:
        self.folder = folder
        self.mode: Literal["online", "offline"] = (
            "online" if feed.access.mode == "online" else "offline"
        )
        self.standing: Standing = "waiting"
        self.trouble = ""
        self.added = 0
        self.left_out = ""
        self.url = ""
        self._feed, self._say, self._beat, self._fall_back = feed, say, beat, fall_back
        self._pid = pid
        self._kind = feed.tracker.kind
        self._lock = mirror_state.Lock(folder.path / f"{self._kind}.lock")
        self._began_in: tuple[int, int] | None = None
        self._cursor: mirror_state.MirrorState | None = None
        self._tail: Tail | None = None
        self._run: TrackedRun | None = None
        self._upto: int | None = -1
        self._defined: set[str] = set()

    @property
    def over(self) -> bool:
        return self.standing in ("complete", "failed")

    @property
    def begun(self) -> bool:
        """Whether the tracker has anything of the stage."""
        return bool(self.url) or (self._tail is not None and self._tail.progress.rows > 0)

    def advance(self) -> None:
        """Mirror new records that can no longer change; if the stage is finished, end its run."""
        if not self.over:
            self._guarded(self._advance)

    def close(self) -> None:
        """End the run of an unfinished stage; another attempt resumes it."""
        if self._run is not None:
            self._guarded(lambda: self._end(done=False))
        self._lock.release()

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (StoreError, TrackerError, OSError) as error:
            self._give_up(str(error))
        except Exception as error:  # from a tracker or a damaged file: it must not stop the trainer
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, why: str) -> None:
        self.standing, self.trouble = "failed", self._feed.access.redact(why)
        self._run = None
        self._lock.release()
        self._say(f"{self.folder.id}: mirroring stopped: {self.trouble}")

    def _advance(self) -> None:
        if not (self.folder.path / "stage.json").exists():
            return
        if self._cursor is not None and self._replaced():
            self._leave()
        if not self._lock.acquire():
            self.standing = "busy"
            return
        if self._cursor is None:
            self._begin()
            if self.over:
                return
        result = self.folder.result
        done = result is not None and result["state"] in DONE
        if done and (entry := read_entry(self.folder)).state == "damaged":
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
        if done and result is not None and self._run is not None:
            state = str(result["state"])
            tags = () if state == "finished" else (state,)
            self._run.summarise(metadata.summary(result), tags)
            self._tell_more(self._run, result)
            self._end(done=True)

    def _replaced(self) -> bool:
        """Whether the stage is run anew, so that what this object knows is of a folder that was
        moved aside."""
        return self.folder.identity != self._began_in

    def _leave(self) -> None:
        """End the run of the stage that was moved aside, and forget how far it was mirrored."""
        run, self._run = self._run, None
        self._lock.release()
        self._cursor, self._tail, self._upto = None, None, -1
        self._defined.clear()
        self.standing, self.url, self.left_out = "waiting", "", ""
        if run is not None:
            self._beat()
            run.close(done=False)
            self._beat()

    def _save(self) -> None:
        """Note how far the stage is mirrored, unless its folder is another one now."""
        assert self._cursor is not None
        if not self._replaced():
            self._cursor.save(self.folder, self._kind)

    def _begin(self) -> None:
        """Read the cursor, now that this process has the lock."""
        self._began_in = self.folder.identity
        self._cursor = found = mirror_state.load(self.folder, self._kind, self._feed.access.project)
        self.url, self.standing = found.url, "waiting"
        if found.online.complete or (self.mode == "offline" and found.offline.complete):
            self.standing = "complete"
            self._lock.release()
            return
        self._tail = Tail(self.folder, self._from(found))

    def _from(self, found: mirror_state.MirrorState) -> Progress:
        """Where this mirror resumes; an offline file also resumes after what is online already."""
        if self.mode == "online":
            return found.online.copy()
        return max(found.offline, found.online, key=lambda progress: progress.rows).copy()

    def _add(self, records: list[Record], start: int, upto: int | None) -> None:
        assert self._cursor is not None
        assert self._tail is not None
        if self._run is None:
            try:
                self._open()
            except TrackerError as error:
                if self.mode == "offline" or not self._fall_back:
                    raise
                self._say(f"{self.folder.id}: mirrored offline ({error}); `sync` uploads it")
                self.mode = "offline"
                self._tail = Tail(self.folder, self._from(self._cursor))
                start = self._tail.progress.rows
                records = self._tail.settled(upto)
                self._open()
        assert self._run is not None
        if self.mode == "offline":
            self._cursor.offline = self._tail.progress.copy()
            self._save()
        for number, record in enumerate(records, start):
            for name in record.keys() - NOT_METRICS - self._defined:
                self._run.define(name, axis_of(name))
                self._defined.add(name)
            if number >= self._run.known:
                self._run.log(metadata.row(record, number))
                self.added += 1
                self._alert(alerts.of_values(record))
            self._beat()

    def _tell_more(self, run: TrackedRun, result: Mapping[str, Any]) -> None:
        """The finished stage's alerts, artifacts and pictures. What is refused is left out, and
        told: the run has its rows and its end without it."""
        more, folder = extras(run), self.folder

        def warnings() -> None:
            self._alert(alerts.of_result(folder, result))

        def pictures() -> None:
            if (shown := shown_pictures(folder, result)) is not None:
                more.pictures(*shown)

        def artifacts() -> None:
            for each in lineage.used(folder, result):
                more.artifact(each, made=False)
                self._beat()
            if (own := lineage.made(folder)) is not None:
                more.artifact(own, made=True)

        for action in (warnings, pictures, artifacts):
            try:
                action()
            except Exception as error:
                self.left_out = self._feed.access.redact(f"without {action.__name__}: {error}")
                self._say(f"{folder.id}: {self.left_out}")
            self._beat()

    def _alert(self, found: Iterable[tuple[str, str]]) -> None:
        """Give the alerts that were not given yet; a restart repeats none."""
        assert self._cursor is not None
        assert self._tail is not None
        assert self._run is not None
        given = self._tail.progress.alerts
        for title, text in found:
            if title not in given:
                given.append(title)
                if self.mode == "offline":
                    self._cursor.offline = self._tail.progress.copy()
                    self._save()
                extras(self._run).alert(title, text)

    def _open(self) -> None:
        assert self._cursor is not None
        self._cursor.mode = self.mode
        self._beat()
        described = metadata.describe(self.folder, self._cursor, self.mode)
        if self.mode == "online" and self._pid is not None and works_on(self.folder, self._pid):
            described = replace(described, pid=self._pid)
        self._run = self._feed.open(described)
        self._beat()
        self.standing = "open"
        if self._run.url:
            self.url = self._cursor.url = self._run.url
            self._save()

    def _end(self, *, done: bool) -> None:
        assert self._cursor is not None
        assert self._tail is not None
        assert self._run is not None
        run, self._run = self._run, None
        self._beat()
        run.close(done=done)
        self._beat()
        progress = self._tail.progress.copy()
        # online, `sync` shall try again what was left out; offline, it makes the run anew
        refused = self.left_out if self.mode == "online" else ""
        progress.complete = done and not refused
        setattr(self._cursor, self.mode, progress)
        self._save()
        self.standing = "complete" if done else "open"
        if refused:
            self.standing, self.trouble = "failed", refused
        self._lock.release()
