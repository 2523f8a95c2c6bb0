"""The follower: a process of its own that mirrors stages in W&B while they run.

The trainer calls `start` and thinks of it no more. The follower runs at the lowest priority in a
session of its own, looks every few seconds whether a checkpoint or a result is new, and ends when
its stages are done, or when the trainer is dead and what can be mirrored is.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import interpreter
from harness.output import forgive
from harness.store.layout import stage_folder
from harness.store.ledger import look
from harness.track.mirror import Say, StageMirror
from harness.track.mode import Mode, decide, redact
from harness.track.sink import Opener, WandbOpener

POLL_S = 5.0
"""Seconds between two looks at the stages' folders."""
LOGS = 50
"""Logs of followers that are kept in a run root."""
GRACE_S = 30.0
"""Seconds that wandb may take to leave, after everything was closed."""


@dataclass(frozen=True)
class Follower:
    """A follower that was started, or why it was not.

    Attributes:
        warning: what to tell the user; "" if all is well.
        log: where the follower writes; None if there is none.
    """

    warning: str = ""
    log: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, given so much time: on SLURM it dies with the job."""
        if self._process is None:
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.running


def start(runs: Path, stage_ids: Sequence[str], *, poll_s: float = POLL_S) -> Follower:
    """Start a follower of the stages, which ends soon after this process does. Never raises."""
    try:
        if not stage_ids or decide() == "disabled":
            return Follower()
        runs = runs.resolve()
        log = _new_log(runs / ".wandb-follow")
        command = interpreter.command("harness.track.follow", "--runs", str(runs))
        command += ["--until-pid", str(os.getpid()), "--poll", str(poll_s), "--stages", *stage_ids]
        with log.open("ab") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=_environment(),
                start_new_session=True,
            )
    except Exception as error:
        return Follower(f"W&B does not follow this run ({redact(str(error))}); `sync` can later")
    return Follower(log=log, _process=process)


def _new_log(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("*.log"))[: -LOGS + 1]:
        old.unlink(missing_ok=True)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{secrets.token_hex(2)}.log"
    return folder / name


def _environment() -> dict[str, str]:
    """The trainer's, without its devices and its threads."""
    few = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "GOMAXPROCS": "1"}
    return interpreter.environment() | few


def watcher(pid: int) -> Callable[[], bool]:
    """A function that tells whether the process, and not a later one of its number, lives."""

    def born() -> str:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if stat[0] in "ZX" else stat[19]

    if Path("/proc/self/stat").exists():
        first = born()
        return lambda: bool(first) and born() == first

    def answers() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    return answers


def follow(
    runs: Path,
    stage_ids: Sequence[str],
    *,
    mode: Mode,
    opener: Opener,
    say: Say,
    alive: Callable[[], bool],
    stop: threading.Event,
    poll_s: float = POLL_S,
) -> list[StageMirror]:
    """Mirror the stages until all are over, none is `alive` to continue them, or `stop` is set."""
    if mode == "disabled":
        return []
    folders = [stage_folder(runs, stage_id) for stage_id in dict.fromkeys(stage_ids)]
    mirrors = [StageMirror(folder, mode, opener, say) for folder in folders]
    last = False
    while not last and not all(mirror.over for mirror in mirrors):
        last = stop.wait(poll_s) or not alive()  # asked before looking: nothing comes after it
        for mirror in mirrors:
            mirror.advance()
    for mirror in mirrors:
        mirror.close()
        say(f"{mirror.folder.id}: {mirror.standing}, {mirror.added} rows {mirror.mode}")
    return mirrors


def main(argv: Sequence[str] | None = None) -> None:
    """The follower's whole process: it takes the signals, turns nice, and may end it hard."""
    parser = argparse.ArgumentParser(prog="harness.track.follow", description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="the run root")
    parser.add_argument("--stages", nargs="+", required=True, help="ids of the stages to mirror")
    parser.add_argument(
        "--until-pid", type=int, help="process that runs them; else the ledger says"
    )
    parser.add_argument("--poll", type=float, default=POLL_S, help="seconds between two looks")
    given = parser.parse_args(argv)
    forgive()

    def say(text: str) -> None:
        print(time.strftime("%H:%M:%S"), redact(text), flush=True)

    def any_running() -> bool:
        return any(look(stage_folder(given.runs, s)).state == "running" for s in given.stages)

    stop = _signals()
    with contextlib.suppress(OSError):
        os.nice(19)
    mode = decide()
    say(f"following {len(given.stages)} stages {mode}")
    try:
        follow(
            given.runs,
            given.stages,
            mode=mode,
            opener=WandbOpener(),
            say=say,
            alive=watcher(given.until_pid) if given.until_pid else any_running,
            stop=stop,
            poll_s=given.poll,
        )
    finally:
        late = threading.Timer(GRACE_S, os._exit, (1,))
        late.daemon = True
        late.start()
    say("ended")


def _signals() -> threading.Event:
    """Set by SIGTERM: finish in order. Signals that ask the trainer for a checkpoint are not ours:
    SLURM sends them to every process of a job, and their default is to kill."""
    stop = threading.Event()
    for name in ("SIGUSR1", "SIGUSR2", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    main()
