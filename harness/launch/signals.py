"""Ask a run to stop: a signal sets a flag, which the run checks after each step."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType


class StopFlag:
    """While entered, the named signals set the flag; by default SIGINT, SIGTERM and SIGHUP (the
    terminal was closed).

    A second SIGINT stops at once.

    Attributes:
        heard: the signals received.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self.set = False
        self.heard: set[int] = set()
        self._numbers = numbers or (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before: dict[int, object] = {}

    def __call__(self) -> bool:
        return self.set

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.set and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.set = True
        self.heard.add(number)

    def __enter__(self) -> StopFlag:
        for number in self._numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def terminate(pid: int) -> str:
    """Ask a process to stop; returns an error as a sentence, "" on success or if it has just
    ended."""
    try:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)  # a stopped process does not handle signals
    except ProcessLookupError:
        return ""
    except PermissionError:
        return f"process {pid} belongs to another user"
    return ""
