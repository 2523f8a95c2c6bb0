"""Rendezvous: the store through which a stage's processes find each other, kept by rank 0 or
another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from harness.errors import HarnessError
from harness.runtime.environment import Placement
from harness.runtime.failure_detection import FailureDetector, OnLoss

_KNOCK_S = 5.0
"""Seconds between two attempts to connect to rank 0, and between two checks whether to stop."""

OpenStore = Callable[[], Store]


class RendezvousFailed(Exception):
    """A process was asked to stop before all processes had arrived; none has started."""


def rendezvous(
    placement: Placement,
    timeout: float,
    store: OpenStore | None,
    stopping: Callable[[], bool],
    on_loss: OnLoss,
) -> tuple[Store, FailureDetector]:
    """The rendezvous store, for a process group, and the failure detector.

    Args:
        timeout: seconds that rank 0 may start later than this process.
        on_loss: see FailureDetector.

    Raises:
        HarnessError: rank 0 did not start in time, or its port is taken.
        RendezvousFailed: this process was asked to stop.
    """
    rank, size = placement.rank, placement.size
    host, port = placement.master_addr, placement.master_port
    keeps = store is None and rank == 0 and not placement.hosted
    until = time.monotonic() + timeout

    def tcp(keeper: bool) -> Store:
        while True:
            span = timedelta(seconds=max(0.1, min(_KNOCK_S, until - time.monotonic())))
            try:
                made = TCPStore(host, port, size, keeper, span, wait_for_workers=False)
            except RuntimeError:
                if keeper or time.monotonic() > until:
                    raise
            else:
                made.set_timeout(timedelta(seconds=timeout))
                return made
            if stopping():
                raise RendezvousFailed

    try:
        clients = [tcp(keeper) if store is None else store() for keeper in (keeps, False)]
    except RuntimeError as error:
        verb = "listen" if keeps else "join the other processes"
        raise HarnessError(
            f"rank {rank} of {size} cannot {verb} at {host}:{port}: is rank 0 running and the "
            f"port free? To use another address, set MASTER_ADDR and MASTER_PORT. ({error})"
        ) from error
    prefix = f"attempt/{placement.attempt}"
    own, watched = (PrefixStore(prefix, client) for client in clients)
    kept = store is None and not placement.hosted
    peers = FailureDetector(watched, rank, size, rank_0_keeps_it=kept, on_loss=on_loss)
    peers.start()
    return own, peers


def gather(
    store: Store, placement: Placement, timeout: float, stopping: Callable[[], bool]
) -> None:
    """Wait until all processes have arrived. The first process that sees all of them, or that is
    asked to stop, decides for all whether they start.

    Raises:
        RendezvousFailed: they do not start.
        RuntimeError: a process has not arrived in time.
    """
    names = [f"came/{rank}" for rank in range(placement.size)]
    store.set(names[placement.rank], "")
    until = time.monotonic() + timeout
    while not (complete := store.check(names)) and not store.check(["decided"]):
        if stopping():
            break
        if time.monotonic() > until:
            raise RuntimeError("timed out waiting for the other processes")
        time.sleep(0.05)
    if store.add("deciding", 1) == 1:
        store.set("decided", "begin" if complete else "stop")
    if store.get("decided") == b"stop":
        raise RendezvousFailed
