"""Asynchronous checkpoints: the training thread copies the state; another thread writes the copy.

On the CPU the copy is immediate. On CUDA it goes to pinned memory, queued behind the step's
kernels; only the writing thread waits for it, never the training thread. The copies' memory is
reused for the next checkpoint.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from harness.runtime.cores import helpers

SavedState = dict[str, Any]
Layout = tuple[torch.device, torch.dtype, torch.Size, tuple[int, ...]]


class Saver:
    """Writes at most one checkpoint at a time.

    A failed write is raised once, by the next call of any method but `close`.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self._memory = _Memory()

    def save(self, state: SavedState, write: Callable[[SavedState], object]) -> None:
        """Copy `state` as it is now; another thread then calls `write` with the copy, on the CPU.

        If the previous checkpoint is still being written, wait for it first.

        Args:
            state: dicts, lists and tuples of tensors and plain values.

        Raises:
            HarnessError: writing the previous checkpoint failed.
        """
        self.wait()
        copied, ready = self._memory.copy(state)

        def work() -> None:
            for event in ready:
                event.synchronize()
            write(copied)

        if self._pool is None:
            self._pool = helpers(1, "checkpoint")
        self._writing = self._pool.submit(work)

    def check(self) -> None:
        """Raise the error of a write that has finished; never waits."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait until the checkpoint on its way is on disk; raise its error."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Wait for the write and end the thread. The write's error is not raised: call `wait`
        first unless another error is being raised."""
        with contextlib.suppress(Exception):
            self.wait()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


class _Memory:
    """Copies of states in host memory that is reused."""

    def __init__(self) -> None:
        self._held: dict[Layout, list[Tensor]] = {}

    def copy(self, state: SavedState) -> tuple[SavedState, list[torch.cuda.Event]]:
        """(copy, CUDA events to wait for before reading it). Shared memory stays shared."""
        made: dict[tuple[int, Layout], Tensor] = {}
        devices: set[torch.device] = set()
        free, self._held = self._held, {}

        def one(tensor: Tensor) -> Tensor:
            layout = (tensor.device, tensor.dtype, tensor.shape, tensor.stride())
            place = (tensor.data_ptr(), layout)
            if place not in made or not tensor.numel():
                old = free.get(layout)
                # A GPU can write to pinned memory while the host continues.
                into = old.pop() if old else _empty_like(tensor)
                made[place] = into.copy_(tensor, non_blocking=tensor.is_cuda)
                self._held.setdefault(layout, []).append(into)
            if tensor.is_cuda:
                devices.add(tensor.device)
            return made[place].detach()

        def walk(value: Any) -> Any:
            if isinstance(value, Tensor):
                return one(value.detach())
            if isinstance(value, dict):
                new = copy.copy(value)  # same type, with the attributes that torch sets
                new.update((key, walk(each)) for key, each in value.items())
                return new
            if isinstance(value, list | tuple):
                return type(value)(walk(each) for each in value)
            return value

        return walk(state), [_event(device) for device in devices]


def _empty_like(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)


def _event(device: torch.device) -> torch.cuda.Event:
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event
