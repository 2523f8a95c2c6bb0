"""Work that takes as long as it takes, while the processes go on meeting.

A collective waits for minutes, a download may take hours. So who works does it in a thread, and all
meet each other in short rounds: a process that dies is noticed at once, and one that is asked to
stop is heard.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from harness.runtime.world import World
from harness.stage.context import Interrupted

ROUND_S = 2.0
"""Seconds between two meetings."""

T = TypeVar("T")


def first_alone(work: Callable[[], T], world: World, stopping: Callable[[], bool]) -> T:
    """What `work` returns on this process; the first process does it before the others.

    Raises:
        Interrupted: on all processes, if one was asked to stop; the work is left where it is.
        Exception: the work's own, on the process where it failed.
    """
    mine = _Thread(work)
    for turn in (world.rank == 0, world.rank > 0):
        if turn:
            mine.start()
        while True:
            if turn:
                mine.join(ROUND_S)
            busy = mine.is_alive()
            if mine.error is not None and not busy:
                raise mine.error
            if not world.any(busy):
                break
            if world.any(stopping()):
                raise Interrupted
    return mine.found[0]


class _Thread(threading.Thread, Generic[T]):
    """Does the work; ends with the process if it is given up."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(daemon=True, name="patience")
        self._work = work
        self.found: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.found.append(self._work())
        except BaseException as error:
            self.error = error
