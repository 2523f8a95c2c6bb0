"""A recipe that takes a second, what a command says, and waiting for it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import forked

from harness.cli import main

TINY = """\
name: tiny
data: {name: embedded, images: 128, size: 16}
augment: {}
model: {backbone: miniature, bn_group: 8, dim: 16}
contrast: {kind: moco, queue: 64, momentum: 0.9, temperature: 0.1}
optim:
  epochs: 2
  batch: 32
  lr: 0.06
  schedule: {kind: constant}
knn: {k: [5], queries: 100}
linear: {epochs: 3, batch: 64, lr: [1.0], drops: [], views: center}
watch: {log_steps: 2, checkpoint_steps: 2, knn_epochs: 0, control: false}
"""


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err

    @property
    def idle(self) -> bool:
        """Whether there was nothing left to run."""
        return "nothing to do" in self.out


def command(*words: str) -> None:
    """The command, as a process of its own begins it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run under nohup
    sys.argv = ["moco-harness", *words]
    main()


class Process:
    """`moco-harness` in a process of its own."""

    def __init__(self, words: list[str], said: Path) -> None:
        self._said = said
        self._process = forked.start(command, *words, said=said)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, within_s: float = 100) -> Said:
        """Wait for it."""
        self._process.join(within_s)
        code = self._process.exitcode
        assert code is not None, self.said
        return Said(code, self.said, "")

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    @property
    def said(self) -> str:
        return self._said.read_text() if self._said.exists() else ""

    def wait_for(self, condition: Callable[[], bool], within_s: float = 60) -> None:
        """Wait until the condition holds; fail if the process ends before, or it takes longer."""
        until = time.monotonic() + within_s
        while not condition():
            assert self._process.exitcode is None, self.said
            assert time.monotonic() < until
            time.sleep(0.005)
