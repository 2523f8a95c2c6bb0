"""Heartbeats in a ring: each process writes its own to the store, and reads the next rank's.

The heartbeat of a process that died or was stopped, or whose node froze, stops. That of a process
that computes, or is blocked in a collective, continues: its own thread writes it. As each process
watches one other, the traffic is three requests per heartbeat and process, for any number of
processes. If several neighbours die together, the rank before them in the ring notices.
"""

from __future__ import annotations

from torch._C._distributed_c10d import Store

HEARTBEAT_S = 2.0
"""Seconds between two heartbeats."""
SILENCE_S = 30.0
"""Seconds without a heartbeat after which a roll call starts."""


class RingHeartbeat:
    """One rank's heartbeat, and its watch on the next rank's. Time is counted in its own turns, not
    by a clock: if all processes were suspended together, none has missed a heartbeat.

    Args:
        turn_s: seconds from one turn to the next.
    """

    def __init__(self, store: Store, rank: int, size: int, turn_s: float) -> None:
        self._store = store
        self._own, self._next = f"beat/{rank}", f"beat/{(rank + 1) % size}"
        self._stride = max(1, round(HEARTBEAT_S / turn_s))
        self._limit = round(SILENCE_S / turn_s)
        self._turns = 0
        self._heard = b""
        self._since = 0

    def begin(self) -> None:
        """Send the first heartbeat. Call it before this process reports its arrival: then its death
        is noticed, however early."""
        self._store.set(self._own, "0")

    def turn(self) -> bool:
        """Write and read heartbeats if it is time; True if the next rank's started and has stopped.

        Raises:
            RuntimeError: the store is gone.
        """
        self._turns += 1
        if (self._turns - 1) % self._stride:
            return False
        self._store.set(self._own, str(self._turns))
        heard = self._store.get(self._next) if self._store.check([self._next]) else b""
        if heard != self._heard:
            self._heard, self._since = heard, self._turns
        return bool(heard) and self._turns - self._since >= self._limit
