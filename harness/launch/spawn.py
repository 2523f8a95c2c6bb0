"""Start other processes on this machine that share this process's work."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

from harness import interpreter
from harness.errors import HarnessError
from harness.runtime.environment import Placement, resolve

COLLECTIVE_WAIT_S = 600.0
"""Seconds that one process may be busy alone (a checkpoint) while others wait. A dead process is
noticed at once on gloo, and within a minute on NCCL (runtime/ring_heartbeat.py)."""
FAREWELL_S = 30.0
"""Seconds that the other processes have to end; each ends by itself when its peers do."""


OURS = (2, 3, 4, 5)
"""Exit codes that name a known error: this process exits with the same code."""

Lost = Callable[[], None]


@contextlib.contextmanager
def spawned(words: Sequence[str], processes: int) -> Iterator[tuple[Placement, Lost]]:
    """This process's place, the first of `processes`. While the block runs, the others run `words`;
    they find their places in their environment.

    The second value of the pair raises a HarnessError if another process has failed. It is needed
    until all have connected; after that the processes notice each other's end by themselves.
    """
    if processes == 1:
        yield resolve({}), lambda: None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = interpreter.environment()
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
            started.append(subprocess.Popen([*words], env={**own, **shared, **place}))

        def lost() -> None:
            for rank, process in enumerate(started, 1):
                if code := process.poll():
                    error = HarnessError(
                        f"rank {rank} of {processes} ended with {_words(code)} before it started; "
                        "see its output above"
                    )
                    error.exit_code = code if code in OURS else error.exit_code
                    raise error

        yield resolve({**shared, "RANK": "0", "LOCAL_RANK": "0"}), lost
    finally:
        until = time.monotonic() + FAREWELL_S
        for process in started:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _words(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {-code}"
