"""Call a tracker with a time limit: it may wait for a network, and never answer."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from harness.redact import redact
from harness.track.protocol import TrackerError

T = TypeVar("T")
Beat = Callable[[], None]

QUIET_S = 600.0
"""Seconds without a heartbeat after which a tracker is abandoned: longer than any one call of a
tracker that limits the time of its calls itself."""


def watched(action: Callable[[Beat], T], quiet_s: float, what: str) -> T:
    """The action's value. It runs in a thread, and calls its argument, the heartbeat, on progress.

    Raises:
        TrackerError: it failed, or gave no heartbeat for `quiet_s` seconds. Then it is abandoned,
            and ends at its next heartbeat.
    """
    answers: queue.Queue[tuple[bool, Any]] = queue.Queue()
    given_up = threading.Event()
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if given_up.is_set():
            raise SystemExit
        last = time.monotonic()

    def work() -> None:
        try:
            answers.put((True, action(beat)))
        except BaseException as error:  # libraries also raise SystemExit and their own types
            answers.put((False, error))

    threading.Thread(target=work, daemon=True, name=f"tracker: {what}").start()
    while True:
        try:
            fine, value = answers.get(timeout=max(0.0, last + quiet_s - time.monotonic()))
            break
        except queue.Empty:
            if time.monotonic() >= last + quiet_s:
                given_up.set()
                raise TrackerError(f"{what}: no answer within {quiet_s:.0f} s") from None
    if not fine:
        message = " ".join(str(value).split())[:300]
        raise TrackerError(redact(f"{what}: {type(value).__name__}: {message}")) from None
    result: T = value
    return result


def bounded(action: Callable[[], T], seconds: float, what: str) -> T:
    """The action's value. Raises TrackerError if it fails, or takes longer than `seconds`."""
    return watched(lambda _: action(), seconds, what)
