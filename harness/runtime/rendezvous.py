"""Where the processes of a stage meet: a store that rank 0 keeps, or somebody else for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from harness.errors import HarnessError
from harness.runtime.environment import Placement
from harness.runtime.failure_detection import FailureDetector, OnLoss

_KNOCK_S = 5.0
"""Seconds between two tries to reach rank 0, and between two questions whether to stop."""

OpenStore = Callable[[], Store]


class RendezvousFailed(Exception):
    """A process was asked to stop before all had come; none has begun."""


def rendezvous(
    placement: Placement,
    patience: float,
    store: OpenStore | None,
    stopping: Callable[[], bool],
    on_loss: OnLoss,
) -> tuple[Store, FailureDetector]:
    """The store at which the processes meet, for a process group, and the watch over the others.

    Args:
        patience: seconds that rank 0 may come later than this process.
        on_loss: see Peers.

    Raises:
        HarnessError: rank 0 was not there in time, or its port is taken.
        Unmet: this process was asked to stop.
    """
    rank, size = placement.rank, placement.size
    host, port = placement.master_addr, placement.master_port
    keeps = store is None and rank == 0 and not placement.hosted
    until = time.monotonic() + patience

    def tcp(keeper: bool) -> Store:
        while True:
            span = timedelta(seconds=max(0.1, min(_KNOCK_S, until - time.monotonic())))
            try:
                made = TCPStore(host, port, size, keeper, span, wait_for_workers=False)
            except RuntimeError:
                if keeper or time.monotonic() > until:
                    raise
            else:
                made.set_timeout(timedelta(seconds=patience))
                return made
            if stopping():
                raise RendezvousFailed

    try:
        clients = [tcp(keeper) if store is None else store() for keeper in (keeps, False)]
    except RuntimeError as error:
        verb = "listen" if keeps else "meet the others"
        raise HarnessError(
            f"rank {rank} of {size} cannot {verb} at {host}:{port}: is the port free and rank 0 "
            f"running? MASTER_ADDR and MASTER_PORT choose another place. ({error})"
        ) from error
    prefix = f"attempt/{placement.attempt}"
    own, watched = (PrefixStore(prefix, client) for client in clients)
    kept = store is None and not placement.hosted
    peers = FailureDetector(watched, rank, size, rank_0_keeps_it=kept, on_loss=on_loss)
    peers.start()
    return own, peers


def gather(
    store: Store, placement: Placement, patience: float, stopping: Callable[[], bool]
) -> None:
    """Wait until all processes have come. The first to see them all, or to be asked to stop,
    decides for all whether they begin.

    Raises:
        Unmet: they do not begin.
        RuntimeError: somebody has not come in time.
    """
    names = [f"came/{rank}" for rank in range(placement.size)]
    store.set(names[placement.rank], "")
    until = time.monotonic() + patience
    while not (complete := store.check(names)) and not store.check(["decided"]):
        if stopping():
            break
        if time.monotonic() > until:
            raise RuntimeError("timed out waiting for the others to come")
        time.sleep(0.05)
    if store.add("deciding", 1) == 1:
        store.set("decided", "begin" if complete else "stop")
    if store.get("decided") == b"stop":
        raise RendezvousFailed
