"""Signs of life in a ring: each process beats at the meeting point, and listens to the next rank.

A dead process is silent, and so is one that was stopped or whose node froze; one that computes, or
is blocked in a collective, beats on, as a thread of its own does it. One listener each keeps the
traffic at three requests a beat and process, whatever their number: of several that died together,
the one before them in the ring notices.
"""

from __future__ import annotations

from torch._C._distributed_c10d import Store

BEAT_S = 2.0
"""Seconds between two beats."""
SILENCE_S = 30.0
"""Seconds of silence after which the roll is called."""


class RingHeartbeat:
    """The beats of one rank, and what it hears of the next, by its own turns and not by a clock:
    processes that were all suspended together have missed nothing.

    Args:
        turn_s: seconds from one turn to the next.
    """

    def __init__(self, store: Store, rank: int, size: int, turn_s: float) -> None:
        self._store = store
        self._own, self._next = f"beat/{rank}", f"beat/{(rank + 1) % size}"
        self._stride = max(1, round(BEAT_S / turn_s))
        self._limit = round(SILENCE_S / turn_s)
        self._turns = 0
        self._heard = b""
        self._since = 0

    def begin(self) -> None:
        """Beat for the first time: who does so before it says that it has come is missed from then
        on, however soon it dies."""
        self._store.set(self._own, "0")

    def turn(self) -> bool:
        """Beat and listen if it is time; whether the next rank, once heard, has fallen silent.

        Raises:
            RuntimeError: the meeting point is gone.
        """
        self._turns += 1
        if (self._turns - 1) % self._stride:
            return False
        self._store.set(self._own, str(self._turns))
        heard = self._store.get(self._next) if self._store.check([self._next]) else b""
        if heard != self._heard:
            self._heard, self._since = heard, self._turns
        return bool(heard) and self._turns - self._since >= self._limit
