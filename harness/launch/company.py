"""Other processes of this machine, begun beside this one to share its work."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence

from harness.runtime.environment import Placement, resolve

PATIENCE_S = 600.0
"""Seconds that one process may be busy alone (a checkpoint) while others wait. A process that dies
is noticed at once."""


@contextlib.contextmanager
def company(words: Sequence[str], processes: int) -> Iterator[Placement]:
    """This process's place, the first of `processes`; the others run `words` while the block does,
    and find their places in their environment."""
    if processes == 1:
        yield resolve({})
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    started: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(1, processes):
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            started.append(subprocess.Popen([*words], env={**os.environ, **shared, **place}))
        yield resolve({**shared, "RANK": "0", "LOCAL_RANK": "0"})
    finally:
        for process in started:
            try:
                process.wait(timeout=30)  # each ends by itself when its peers do
            except subprocess.TimeoutExpired:
                process.kill()


def share_cores(placement: Placement) -> None:
    """Let torch use this process's part of the cores, unless OMP_NUM_THREADS says how many."""
    import torch

    if placement.local_size > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // placement.local_size))
