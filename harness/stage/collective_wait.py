"""Work of unknown duration on one process, while all processes stay synchronised.

A collective waits for minutes, but a download may take hours. So a thread does the work, and all
processes synchronise in short rounds: the death of a process, or a request to stop, is noticed at
once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from harness.runtime.world import World
from harness.stage.context import Interrupted

ROUND_S = 2.0
"""Seconds between two rounds."""

T = TypeVar("T")


def first_alone(work: Callable[[], T], world: World, stopping: Callable[[], bool]) -> T:
    """What `work` returns on this process; the first process does it before the others.

    Raises:
        Interrupted: on all processes, if one was asked to stop; the work is abandoned.
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
    """Does the work; a daemon thread: it ends with the process if the work is abandoned."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(daemon=True, name="first_alone")
        self._work = work
        self.found: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.found.append(self._work())
        except BaseException as error:
            self.error = error
