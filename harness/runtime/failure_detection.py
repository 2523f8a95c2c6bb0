"""Failure detection: when a collective fails, find which process died and report its rank.

A backend says at best that a connection closed. With NCCL the host waits for no collective, and
may learn nothing for minutes. So each process has a thread that watches the rendezvous store. When
it sees a failure, or its neighbour's heartbeat stops (ring_heartbeat.py), it starts a roll call in
the store. Every live process answers, also one that is blocked in a collective. A process that does
not answer within seconds is lost. If the main thread does not notice soon after, its process exits.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import torch.distributed as dist
from torch._C._distributed_c10d import Store

from harness.errors import HarnessError
from harness.runtime import ring_heartbeat
from harness.runtime.ring_heartbeat import RingHeartbeat

_GRACE = 2.0
_PERIOD = 0.25
_STUCK_S = 20.0
"""Seconds for the main thread to notice a loss by itself, and for missing ranks to answer late."""
_SETTLED_S = 10.0
"""Seconds that a roll call which all have answered stays valid: the others' main threads may see
the same failure a little later."""
_LOSS = re.compile(r"gloo|NCCL|[Cc]onnection|[Tt]imed out|timeout|[Ss]ocket|[Bb]roken pipe")


OnLoss = Callable[["LostPeer"], object]


class LostPeer(HarnessError):
    """Another process of the stage died, hung or stopped, so this one cannot continue.

    Attributes:
        died: the ranks that did not answer; empty if another rank reported that it stopped.
        exit_code: the exit code that the stopped ranks reported; None if none, or if they differ.
    """

    def __init__(self, message: str, died: Sequence[int] = (), exit_code: int | None = None):
        super().__init__(message)
        self.died = tuple(died)
        self.exit_code = exit_code or type(self).exit_code


def exit_now(lost: LostPeer) -> NoReturn:
    """Exit this process: its main thread is blocked where no exception can be raised."""
    try:
        print(f"error: {lost}", file=sys.stderr, flush=True)
    finally:  # its terminal may be closed
        os._exit(lost.exit_code)


class FailureDetector(threading.Thread):
    """Answers roll calls on `store`, a client that nothing else uses, until `close`.

    Roll calls are numbered. If all ranks answer one, watching continues.

    Args:
        on_loss: called on this thread if the main one does not notice a loss; it must not return.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        size: int,
        *,
        rank_0_keeps_it: bool,
        on_loss: OnLoss,
    ) -> None:
        super().__init__(name="peers", daemon=True)
        self._store = store
        self._rank = rank
        self._others = [other for other in range(size) if other != rank]
        self._rank_0_keeps_it = rank_0_keeps_it
        self._on_loss = on_loss
        self._pulse = RingHeartbeat(store, rank, size, _PERIOD)
        self._closing = threading.Event()
        self._called = threading.Event()
        self._rolled = threading.Event()
        self._forgetting = threading.Lock()
        self._turns = 0
        self._number = 0
        self._at = ""
        self._answers: dict[int, str] = {}
        self._notes: dict[int, str] = {}
        self._codes: set[int] = set()
        self._storeless = False

    def start(self) -> None:
        """Send the first heartbeat, and start to watch."""
        with contextlib.suppress(RuntimeError):  # the store is gone: `run` will notice
            self._pulse.begin()
        super().start()

    def run(self) -> None:
        threading.Thread(target=self._watch_store, name="store", daemon=True).start()
        while self._called_for(self._number):
            self._called.clear()
            try:
                self._store.set(f"called/{self._number}", "")
                self._roll(self._number)
            except RuntimeError:
                self._storeless = True
            self._rolled.set()
            if not self._all_well(self._number):
                return
            with self._forgetting:
                if self._closing.is_set():
                    return
                self._answers.clear()
                self._rolled.clear()
                self._number += 1

    def _called_for(self, number: int) -> bool:
        """Wait for the roll call of this number; False if the detector is closed."""
        try:
            while not self._called.is_set() and not self._store.check([f"called/{number}"]):
                if self._closing.wait(_PERIOD):
                    return False
                self._turns += 1
                if self._pulse.turn():
                    self._called.set()
        except RuntimeError:
            self._storeless = True
        return True

    def _all_well(self, number: int) -> bool:
        """Whether all have answered the roll call, perhaps late, so that watching continues. Exits
        the process if a rank is lost and the main thread does not notice."""
        gone = self._storeless
        until = time.monotonic() + (_STUCK_S if self._said() else _SETTLED_S)
        while time.monotonic() < until:
            if self._closing.wait(_PERIOD):
                return False
            if gone:
                continue
            self._turns += 1
            lost = self._said()
            try:
                self._pulse.turn()
                self._listen(number)
                if not lost and self._store.check([f"called/{number + 1}"]):
                    return True
            except RuntimeError:
                gone = True
                if not lost:  # rank 0 keeps the store, and died after it answered
                    self._storeless = True
                    self._answers.pop(0, None)
                    until = time.monotonic() + _STUCK_S
            if lost and not self._said():
                return True
        if self._said():
            self._give_up()
        return True

    def _watch_store(self) -> None:
        """Exit if the store stops answering: when its process is stopped, requests just hang."""
        seen, still = 0, 0
        silence, stuck = (
            round(s / ring_heartbeat.HEARTBEAT_S) for s in (ring_heartbeat.SILENCE_S, _STUCK_S)
        )
        while (
            not self._closing.wait(ring_heartbeat.HEARTBEAT_S)
            and self.is_alive()
            and not self._storeless
        ):
            still = still + 1 if self._turns == seen else 0
            seen = self._turns
            if still >= silence + stuck:
                self._storeless = True
                self._rolled.set()
                self._give_up()

    def _give_up(self) -> None:
        """Exit the process: its main thread has not noticed that a rank is lost."""
        self._on_loss(self._lost(self._at or "its own work", "; ".join(self._said()), ""))

    def _roll(self, number: int) -> None:
        self._store.set(f"here/{number}/{self._rank}", self._at)
        deadline = time.monotonic() + _GRACE
        while self._awaited() and time.monotonic() < deadline:
            self._turns += 1
            self._listen(number)
            time.sleep(0.02)

    def _listen(self, number: int) -> None:
        """Note which ranks answered the roll call, and which reported that they stop."""
        for other in self._others:
            if other not in self._notes and self._store.check([f"left/{other}"]):
                code, _, note = self._store.get(f"left/{other}").decode().partition(" ")
                self._notes[other] = note
                self._codes.add(int(code))
            if other not in self._answers and self._store.check([f"here/{number}/{other}"]):
                self._answers[other] = self._store.get(f"here/{number}/{other}").decode()

    def _awaited(self) -> list[int]:
        """Ranks that neither answered nor reported that they stop."""
        return [rank for rank in self._others if rank not in {*self._answers, *self._notes}]

    def _without_store(self) -> bool:
        return self._storeless and self._rank_0_keeps_it and 0 in self._awaited()

    def _died(self) -> list[int]:
        if self._storeless:
            return [0] if self._without_store() else []
        return self._awaited()

    @contextlib.contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Turn a communication failure inside into a LostPeer that names `what` and the rank."""
        outer, self._at = self._at, what
        try:
            yield
        except RuntimeError as error:
            if not isinstance(error, dist.DistError) and not _LOSS.search(str(error)):
                raise
            raise self._explain(what, error) from error
        finally:
            self._at = outer

    def _explain(self, what: str, error: RuntimeError) -> LostPeer:
        self._called.set()
        self._rolled.wait(3 * _GRACE)
        with self._forgetting:
            self._closing.set()
        self._rolled.wait(3 * _GRACE)  # if that roll call was just cleared: wait for the next
        said = self._said()
        if not said:
            said = [
                f"rank {rank} is running but was {f'in {at!r}' if at else 'elsewhere'}"
                for rank, at in sorted(self._answers.items())
                if at != what
            ]
        if not said:
            said.append(
                "all ranks are running, but some came too late, or their tensors differ in size"
            )
        cause = str(error).strip().partition("\n")[0]
        return self._lost(what, "; ".join(said), f" ({cause})")

    def _said(self) -> list[str]:
        """Which ranks stopped and which died, in sentences; empty if all have answered."""
        said = [f"rank {rank} stopped: {note}" for rank, note in sorted(self._notes.items())]
        if self._without_store():
            why = "it ran the rendezvous store, so the other ranks cannot be checked"
            return [*said, f"rank 0 died or hung ({why})"]
        if self._storeless:
            return [*said, "the rendezvous store has ended, so the other ranks cannot be checked"]
        return said + [f"rank {rank} died or hung (it did not answer)" for rank in self._awaited()]

    def _lost(self, what: str, said: str, cause: str) -> LostPeer:
        message = (
            f"rank {self._rank} lost contact in {what!r}: {said}. Read that rank's log first, "
            f"then run again: the stage resumes from its checkpoint.{cause}"
        )
        code = next(iter(self._codes)) if len(self._codes) == 1 else None
        return LostPeer(message, () if self._notes else self._died(), code)

    def leave(self, error: BaseException) -> None:
        """Report to the others why this process stops early; call it from its main thread."""
        self._closing.set()
        self.join(_GRACE)
        if isinstance(error, LostPeer):
            return
        lines = str(error).strip().splitlines()
        note = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        with contextlib.suppress(RuntimeError):
            code = error.exit_code if isinstance(error, HarnessError) else HarnessError.exit_code
            self._store.set(f"left/{self._rank}", f"{code} {note[:500]}")
            self._store.set(f"called/{self._number}", "")
            if self._rank_0_keeps_it and self._rank == 0:
                time.sleep(4 * _PERIOD)  # the store ends with this process: let others read it

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()
        self.join(_GRACE)
