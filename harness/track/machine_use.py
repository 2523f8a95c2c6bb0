"""A run that shows how one process of a stage uses its machine: CPU, memory, GPU.

The journal has nothing of it, so it is a run of its own, in the group of the stage's: ID-rankN. The
tracker samples it. It begins after the stage has run for a while: a short one has nothing to show.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from harness.errors import StoreError
from harness.store import atomic
from harness.store.layout import StageFolder
from harness.track import metadata, mirror_state
from harness.track.feed import Feed
from harness.track.protocol import Metadata, TrackedRun, TrackerError

AFTER_S = 30.0
"""Seconds that a stage runs before its use of the machine is shown."""
JOB_TYPE = "system"

Say = Callable[[str], object]


def works_on(folder: StageFolder, pid: int) -> bool:
    """Whether the newest attempt at the stage is the process's. Of several stages at once, each is
    a worker's, and the process that started these has nothing to show."""
    try:
        attempts = folder.attempts()
        who = atomic.read_json(attempts[-1] / "alive.json") if attempts else None
    except StoreError:
        return False
    return isinstance(who, dict) and who.get("pid") == pid


class MachineUse:
    """Call `advance` any number of times, then `close`. Neither ever raises.

    Args:
        pid: the process on this machine that works on the stage as `rank`.
    """

    def __init__(
        self, folder: StageFolder, feed: Feed, rank: int, pid: int, say: Say = print
    ) -> None:
        self.folder = folder
        self._feed, self._rank, self._pid, self._say = feed, rank, pid, say
        self._since: float | None = None
        self._run: TrackedRun | None = None
        self._over = False

    def advance(self) -> None:
        """Begin the run if the stage has run for a while; end it if the stage has ended."""
        if self._over:
            return
        try:
            if not self._is_running():
                self._since = None
                self.close()
            elif self._since is None:
                self._since = time.monotonic()
            elif self._run is None and time.monotonic() - self._since >= AFTER_S:
                self._begin()
        except Exception as error:
            self._give_up(error)

    def close(self) -> None:
        """End the run; another attempt resumes it."""
        run, self._run = self._run, None
        if run is not None:
            try:
                run.close(done=True)
            except Exception as error:
                self._give_up(error)

    def _is_running(self) -> bool:
        attempts = self.folder.attempts()
        if not attempts or (attempts[-1] / "ended.json").exists():
            return False
        if self._rank:  # the first process holds the attempt
            return True
        return works_on(self.folder, self._pid)

    def _begin(self) -> None:
        if not getattr(self._feed.opened(), "shows_machine_use", False):
            self._over = True
            return
        found = mirror_state.stored_state(self.folder, self._feed.tracker.kind)
        if found is None:  # the follower of the first rank makes it
            return
        online = self._feed.access.mode == "online"
        try:
            self._run = self._feed.open(self._described(found, "online" if online else "offline"))
        except TrackerError as error:
            if not online:
                raise
            self._say(f"{self.folder.id}: use of the machine is kept offline ({error})")
            self._run = self._feed.open(self._described(found, "offline"))

    def _described(
        self, found: mirror_state.MirrorState, mode: Literal["online", "offline"]
    ) -> Metadata:
        """Raises StoreError if stage.json is damaged."""
        of_stage = metadata.describe(self.folder, found, mode)
        name = f" rank {self._rank}"
        return replace(
            of_stage,
            id=f"{found.id}-rank{self._rank}",
            name=of_stage.name[: metadata.NAME_LIMIT - len(name)] + name,
            job_type=JOB_TYPE,
            config={"stage": of_stage.config["stage"], "rank": self._rank},
            tags=(JOB_TYPE,),
            pid=self._pid,
        )

    def _give_up(self, error: Exception) -> None:
        self._over = True
        known = isinstance(error, StoreError | TrackerError | OSError)
        why = str(error) if known else f"{type(error).__name__}: {error}"
        self._say(f"{self.folder.id}: no use of the machine: {self._feed.access.redact(why)}")
