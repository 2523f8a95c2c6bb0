"""Run several stages of a plan at once on the cores of this machine, each in a worker process.

A worker runs one stage after the other, so that it loads torch and draws data once. It reads a job
on each line of its standard input, and writes what happens on a pipe: lines of JSON, each the name
of a reporter's method with its arguments, or "ended".
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from harness import interpreter
from harness.data_roots import read
from harness.errors import AlreadyDone, Busy, DiskError, HarnessError, NoData
from harness.launch.progress import Bars
from harness.launch.rank import run_as
from harness.launch.signals import StopFlag, terminate
from harness.launch.spawn import FAREWELL_S
from harness.output import tolerate_print_errors
from harness.redact import redact
from harness.runtime.environment import resolve
from harness.stage.execute import Job
from harness.stage.reporter import Reporter
from harness.store import operating_system

FATAL = {error.__name__: error for error in (NoData, DiskError)}
"""Errors after which no run can continue."""
EVERY_S = 0.2
"""Seconds between two looks whether to stop."""

S = TypeVar("S")
Event = tuple[str, list[Any]]
"""The name of a reporter's method, and its arguments."""


@dataclass
class Ending:
    """How a stage ended."""

    state: str = "failed"
    """finished, diverged or interrupted; already done or busy: another process has or had it."""
    message: str = ""
    exit_code: int = HarnessError.exit_code
    fatal: str = ""
    """The key in FATAL of an error after which no run can continue."""


@contextlib.contextmanager
def ended() -> Iterator[Ending]:
    """The ending of the stage that the block runs: its state, or the error that it raised."""
    how = Ending()
    try:
        yield how
    except AlreadyDone:
        how.state = "already done"
    except Busy as error:
        how.state, how.message = "busy", str(error)
    except Exception as error:
        known = isinstance(error, HarnessError)
        how.message = redact(str(error) if known else f"{type(error).__name__}: {error}")
        how.exit_code = getattr(error, "exit_code", HarnessError.exit_code)
        how.fatal = next((name for name, kind in FATAL.items() if isinstance(error, kind)), "")


class Todo(Protocol[S]):
    """The stages that have to run."""

    def first(self) -> S | None:
        """A stage that can start now."""

    def begin(self, stage: S) -> Job:
        """Take it."""

    def opened(self, stage: S) -> None:
        """It has opened its data."""

    def end(self, stage: S, how: Ending) -> bool:
        """Count how it ended; whether no other may begin."""


def run_at_once(
    todo: Todo[S], count: int, reporter: Reporter, stopping: Callable[[], bool], threads: int = 0
) -> bool:
    """Run the stages, up to `count` at once; whether it was stopped before the last.

    Args:
        threads: CPU threads of the plan's earlier stages; 0: not known.

    Raises:
        NoData, DiskError: no run can continue.
    """
    with selectors.DefaultSelector() as selector:
        team = _Team(todo, count, _Shown(reporter), selector, threads)
        try:
            return team.run(stopping)
        finally:
            team.dismiss()


class _Team(Generic[S]):
    """The workers of a plan."""

    def __init__(
        self,
        todo: Todo[S],
        count: int,
        shown: _Shown,
        selector: selectors.BaseSelector,
        threads: int,
    ) -> None:
        self._todo, self._count, self._shown, self._selector = todo, count, shown, selector
        self._workers: list[_Worker[S]] = []
        self._threads = threads
        self._halted = False

    def run(self, stopping: Callable[[], bool]) -> bool:
        """See run_at_once."""
        while True:
            if stopping():
                self._halt()
            while not self._halted and (stage := self._todo.first()) is not None:
                if (worker := self._idle()) is None:
                    break
                worker.start(stage, self._todo.begin(stage), self._threads)
            if all(each.stage is None for each in self._workers):
                return self._halted and self._todo.first() is not None
            for key, _ in self._selector.select(EVERY_S):
                self._hear(key.data)

    def dismiss(self) -> None:
        """End the workers; one that still runs a stage first writes a checkpoint."""
        for each in self._workers:
            each.stop()
        for each in self._workers:
            each.close()

    def _idle(self) -> _Worker[S] | None:
        """A worker without a stage, started if there are not yet enough; None: all are busy."""
        for each in self._workers:
            if each.stage is None:
                return each
        if len(self._workers) == self._count:
            return None
        worker: _Worker[S] = _Worker(self._count)
        self._workers.append(worker)
        self._selector.register(worker.events, selectors.EVENT_READ, worker)
        return worker

    def _halt(self) -> None:
        """Ask all workers to stop, and begin nothing more."""
        if not self._halted:
            self._halted = True
            for each in self._workers:
                each.stop()

    def _hear(self, worker: _Worker[S]) -> None:
        """What a worker says."""
        for name, words in worker.read():
            if name == "ended":
                self._ended(worker, Ending(*words))
                continue
            if name == "begin" and worker.stage is not None:
                self._todo.opened(worker.stage)
            self._shown.happened(worker, name, words)
        if worker.gone:
            self._selector.unregister(worker.events)
            self._workers.remove(worker)
            worker.close()

    def _ended(self, worker: _Worker[S], how: Ending) -> None:
        self._shown.left(worker)
        stage, worker.stage = worker.stage, None
        if self._halted and worker.gone:  # asked to stop before it could listen
            how.state = "interrupted"
        assert stage is not None
        if self._todo.end(stage, how):
            self._halt()


class _Worker(Generic[S]):
    """A worker process.

    Args:
        beside: workers that share the cores, this one included.
    """

    def __init__(self, beside: int) -> None:
        self.stage: S | None = None
        """What it runs."""
        self.gone = False
        """Whether it has ended."""
        self.events, theirs = os.pipe()
        self._rest = b""
        environment = interpreter.environment()
        threads = max(1, operating_system.cores() // beside)
        environment.setdefault("OMP_NUM_THREADS", str(threads))
        self._process = subprocess.Popen(
            interpreter.command("harness.launch.here.workers", str(theirs)),
            stdin=subprocess.PIPE,
            env=environment,
            pass_fds=(theirs,),
            start_new_session=True,  # Ctrl-C is for this process, which tells the workers
        )
        os.close(theirs)

    def start(self, stage: S, job: Job, threads: int) -> None:
        self.stage = stage
        said: dict[str, str | int] = {
            "folder": str(job.folder),
            "data": str(job.data_root),
            "device": job.device,
            "threads": threads,
        }
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `read` tells that it has ended
            self._process.stdin.write(json.dumps(said).encode() + b"\n")
            self._process.stdin.flush()

    def read(self) -> list[Event]:
        """What happened since the last call. A worker that ends has failed its stage."""
        found = os.read(self.events, 1 << 16)
        *lines, self._rest = (self._rest + found).split(b"\n")
        events: list[Event] = [(name, words) for name, words in map(json.loads, lines)]
        if not found:
            self.gone = True
            code = self._process.wait()
            how = f"exit code {code}" if code >= 0 else f"signal {-code}"
            lost = f"the process that ran it ended with {how}; see its output above"
            events += [("ended", ["failed", lost])] if self.stage is not None else []
        return events

    def stop(self) -> None:
        """Ask it to stop after a checkpoint."""
        if self._process.poll() is None:
            terminate(self._process.pid)

    def close(self) -> None:
        """Let it end, or end it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(FAREWELL_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.kill()
            self._process.wait()
        os.close(self.events)


class _Shown:
    """Shows one stage at a time on a reporter that knows no others: what happens to another one is
    told when the shown one has ended."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._shown: object = None
        self._open: set[object] = set()
        self._held: dict[object, list[Event]] = {}

    def happened(self, worker: object, name: str, words: list[Any]) -> None:
        if name == "note":
            self._reporter.note(*words)
            return
        (self._open.discard if name == "end" else self._open.add)(worker)
        if self._shown is None:
            self._shown = worker
        if worker is self._shown:
            self._tell(name, words)
            if name == "end":
                self._show_next()
            return
        held = self._held.setdefault(worker, [])
        if name == "advance" and held[-1][0] == name:
            held.pop()  # only the newest values are of interest
        held.append((name, words))

    def left(self, worker: object) -> None:
        """The worker's stage has ended, perhaps without telling it."""
        if worker in self._open:
            self.happened(worker, "end", ["failed", {}])

    def _show_next(self) -> None:
        self._shown = None
        while self._held and self._shown is None:
            worker = next(iter(self._held))
            for name, words in self._held.pop(worker):
                self._tell(name, words)
            self._shown = worker if worker in self._open else None

    def _tell(self, name: str, words: list[Any]) -> None:
        reporter = self._reporter
        if name == "open" and isinstance(reporter, Bars):
            reporter.open(*words)
        elif name == "open":
            reporter.open(words[0])
        elif name == "begin":
            stage_id, total, done, steps = words
            reporter.begin(stage_id, total=total, done=done, steps_per_epoch=steps)
        else:
            getattr(reporter, name)(*words)


class _Relay:
    """A worker's reporter."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell

    def open(self, stage_id: str) -> None:
        self._tell("open", stage_id, time.monotonic())

    def begin(self, stage_id: str, *, total: int, done: int, steps_per_epoch: int) -> None:
        self._tell("begin", stage_id, total, done, steps_per_epoch)

    def advance(self, step: int, figures: dict[str, float]) -> None:
        self._tell("advance", step, figures)

    def note(self, text: str) -> None:
        self._tell("note", text)

    def end(self, state: str, figures: dict[str, float]) -> None:
        self._tell("end", state, figures)


def main() -> None:
    """A worker: run the stages that are named on standard input."""
    parser = argparse.ArgumentParser(prog="harness.launch.here.workers", description=__doc__)
    parser.add_argument("events", type=int, help="file descriptor for what happens")
    asked = parser.parse_args()
    tolerate_print_errors()
    parent = os.getppid()
    with StopFlag() as flag, os.fdopen(asked.events, "w", buffering=1) as events:

        def tell(name: str, *words: object) -> None:
            with contextlib.suppress(OSError):  # the parent is gone: `stopping` sees it
                events.write(json.dumps([name, words]) + "\n")

        def stopping() -> bool:
            return flag() or os.getppid() != parent

        for line in iter(sys.stdin.readline, ""):
            said = json.loads(line)
            job = Job(Path(said["folder"]), read(said["data"]), said["device"])
            with ended() as how:
                how.state = run_as(
                    resolve({}), job, _Relay(tell), stopping, threads=said["threads"]
                )
            tell("ended", *astuple(how))


if __name__ == "__main__":
    main()
