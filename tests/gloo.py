"""Worker processes that talk through gloo, started at the first use and kept for the session.

In a conftest: `from gloo import gloo`. In a test: `gloo.run(function, 4, *args)` gives
[function(world, *args) of rank 0, of rank 1, ...]; the function stands at the top level of a file,
of which the worker loads a copy of its own, and arguments and results can be pickled.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import inspect
import os
import pickle
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import forked
import pytest


@dataclass(frozen=True)
class Failed:
    """What a rank raised."""

    kind: str
    message: str
    trace: str


@dataclass(frozen=True)
class Died:
    """A rank's process has ended, or had to be ended as it gave no answer in time."""

    exitcode: int | None


class Pool:
    """Up to `most` workers; those that die are replaced at the next use."""

    most = 8

    def __init__(self) -> None:
        self._context = forked.context()
        self._workers: dict[int, tuple[Any, Connection]] = {}
        self._folder = tempfile.TemporaryDirectory()
        self._runs = 0

    def run(
        self,
        function: Callable[..., Any],
        size: int,
        *args: Any,
        timeout: float = 90,
        wait_s: float = 90,
    ) -> list[Any]:
        """What `function` returns in each of `size` ranks; AssertionError if one of them fails."""
        outcomes = self.outcomes(function, size, *args, timeout=timeout, wait_s=wait_s)
        failures = [
            f"rank {rank} of {size}: {outcome.trace if isinstance(outcome, Failed) else outcome}"
            for rank, outcome in enumerate(outcomes)
            if isinstance(outcome, Failed | Died)
        ]
        # The loss of a peer is a consequence: the cause goes first.
        failures.sort(key=lambda failure: "LostPeer" in failure)
        assert not failures, "\n".join(failures)
        return outcomes

    def outcomes(
        self,
        function: Callable[..., Any],
        size: int,
        *args: Any,
        timeout: float = 90,
        wait_s: float = 90,
        apart: bool = False,
    ) -> list[Any]:
        """As `run`, but a rank that raised gives a Failed and one that ended a Died.

        Args:
            timeout: seconds until those without an answer are ended.
            wait_s: seconds that a collective waits.
            apart: the processes are not joined, and the function gets its rank, not a world.
        """
        assert 1 <= size <= self.most
        self._runs += 1
        path = inspect.getfile(function)
        # A file, as TCPStore asks for names of hosts, which takes seconds where DNS is poor.
        store = Path(self._folder.name, f"{self._runs}")
        for rank in range(size):
            task = (
                path,
                function.__qualname__,
                args,
                rank,
                size,
                str(store),
                wait_s,
                apart,
            )
            self._worker(rank)[1].send_bytes(pickle.dumps(task))
        waiting = {self._workers[rank][1]: rank for rank in range(size)}
        results: list[Any] = [None] * size
        deadline = time.monotonic() + timeout
        while waiting:
            ready = wait(list(waiting), max(0, deadline - time.monotonic()))
            for connection in [each for each in waiting if each in ready] or list(waiting):
                rank = waiting.pop(connection)
                try:
                    if not ready:
                        raise EOFError
                    results[rank] = pickle.loads(connection.recv_bytes())
                except (EOFError, OSError):
                    results[rank] = Died(self._bury(rank))
        store.unlink(missing_ok=True)
        if apart or any(isinstance(result, Failed | Died) for result in results):
            for rank in set(self._workers) & set(range(size)):
                self._bury(rank)  # torch numbers the groups of a process, also those that failed
        return results

    def close(self) -> None:
        for rank in list(self._workers):
            self._bury(rank)
        self._folder.cleanup()

    def _worker(self, rank: int) -> tuple[Any, Connection]:
        if rank not in self._workers:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._workers[rank] = (process, ours)
        return self._workers[rank]

    def _bury(self, rank: int) -> int | None:
        process, connection = self._workers.pop(rank)
        connection.close()
        process.join(2)
        if process.exitcode is None:
            process.kill()
            process.join(5)
        return process.exitcode


def _serve(connection: Connection) -> None:
    import torch
    from torch.distributed import FileStore

    from harness.runtime.environment import Placement
    from harness.runtime.world import join

    torch.set_num_threads(1)
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    while True:
        try:
            task = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        path, name, args, rank, size, store, wait_s, apart = task
        try:
            place = Placement(rank, size, rank, size, "", 0, "torchrun")
            open_store = functools.partial(FileStore, store, -1)
            function = getattr(_load(path), name)
            if apart:
                result = function(rank, *args)
            else:
                with join(place, torch.device("cpu"), timeout=wait_s, store=open_store) as world:
                    result = function(world, *args)
            answer = pickle.dumps(result)
        except Exception as error:
            trace = traceback.format_exc()
            answer = pickle.dumps(Failed(type(error).__name__, str(error), trace))
        connection.send_bytes(answer)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@functools.cache
def _load(path: str) -> Any:
    """The module at `path`, whatever pytest calls it."""
    spec = importlib.util.spec_from_file_location(f"worker_{abs(hash(path))}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@functools.cache
def _pool() -> Pool:
    pool = Pool()
    atexit.register(pool.close)
    return pool


@pytest.fixture(scope="session", name="gloo")
def gloo() -> Pool:
    """The pool of this pytest process, one whatever conftests import the fixture."""
    return _pool()
