"""Followers: processes that mirror running stages into trackers, one process for each tracker.

The trainer only calls `start`. A follower runs at the lowest priority in its own session. Every few
seconds it checks for a new checkpoint or result. It exits when its stages are finished, when the
trainer is dead and all that can be mirrored is, or when its tracker does not answer. So no tracker
can delay or crash the training or another tracker.
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
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import interpreter
from harness.output import tolerate_print_errors
from harness.redact import redact
from harness.spec.declarations import Tracker
from harness.spec.registry import trackers
from harness.store.layout import StageFolder, refuse_link, stage_folder
from harness.store.ledger import read_entry
from harness.store.operating_system import DEAD, start_time
from harness.track.bounded import QUIET_S, Beat, watched
from harness.track.feed import Feed, access
from harness.track.machine_use import MachineUse
from harness.track.mirror import Say, StageMirror
from harness.track.protocol import TrackerError
from harness.track.report_run import ReportMirror

POLL_S = 5.0
"""Seconds between two checks of the stages' folders."""
LOGS = 50
"""Number of log files per tracker that a run root keeps, and more if they are new."""
NEW_S = 86_400.0
"""Seconds without a line after which a log file is not new: no process may be writing to it."""
GRACE_S = 30.0
"""Seconds that a tracker's library may take to exit after everything was closed."""


@dataclass(frozen=True)
class Rank:
    """Which of a stage's processes a follower follows, and on this machine.

    Attributes:
        pid: its process; None: unknown.
    """

    number: int = 0
    of: int = 1
    pid: int | None = None


@dataclass(frozen=True)
class Follower:
    """A follower that was started.

    Attributes:
        log: path of its log file.
    """

    tracker: Tracker
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)


@dataclass(frozen=True)
class Followers:
    """The followers that were started, and a warning for the user about others.

    Attributes:
        warning: why one was not started; "" if all were.
    """

    started: tuple[Follower, ...] = ()
    warning: str = ""

    @property
    def running(self) -> list[str]:
        """The trackers whose followers are still running, by their titles."""
        return [each.tracker.title for each in self.started if each.process.poll() is None]

    def wait(self, seconds: float) -> bool:
        """Wait for at most `seconds`; whether all have exited. (In a job, its end kills them.)"""
        until = time.monotonic() + seconds
        for each in self.started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.process.wait(max(0.0, until - time.monotonic()))
        return not self.running

    def stop(self) -> None:
        """Ask them to mirror what can no longer change, and to exit."""
        for each in self.started:
            each.process.terminate()


def start(
    runs: Path, stage_ids: Sequence[str], *, rank: int = 0, ranks: int = 1, poll_s: float = POLL_S
) -> Followers:
    """Start followers of the stages; they exit soon after this process does. Never raises.

    A stage that has a result now is about to be run again: it is followed once that result is gone.

    Args:
        rank, ranks: which of the stages' processes this one is. The follower of the first mirrors
            the journal; each shows how its own process uses its machine.
    """
    which = ["--rank", str(rank), "--ranks", str(ranks), "--until-pid", str(os.getpid())]
    which += ["--poll", str(poll_s), "--stages", *stage_ids, "--again"]
    which += [id_ for id_ in stage_ids if _result(stage_folder(runs, id_))]
    return _start_all(runs, which if stage_ids else [])


def start_report(runs: Path, name: str) -> Followers:
    """Start processes that mirror the report RUNS/reports/NAME and exit. Never raises."""
    return _start_all(runs, ["--report", name])


def _start_all(runs: Path, words: Sequence[str]) -> Followers:
    started, troubles = [], []
    try:
        declared = list(trackers().values()) if words else []
    except Exception as error:
        return Followers(warning=f"no tracker follows this run ({redact(str(error))})")
    for tracker in declared:
        try:
            if access(tracker).mode != "disabled":
                started.append(_start(tracker, runs.resolve(), words))
        except Exception as error:
            why = redact(str(error))
            troubles.append(
                f"{tracker.title} does not follow this run ({why}); `sync` can upload it later"
            )
    return Followers(tuple(started), "; ".join(troubles))


def _start(tracker: Tracker, runs: Path, words: Sequence[str]) -> Follower:
    log = _new_log(runs / f".{tracker.kind}-follow")
    command = interpreter.command("harness.track.follow", "--runs", str(runs))
    command += ["--tracker", tracker.kind, *words]
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=_environment(),
            start_new_session=True,
        )
    return Follower(tracker, log, process)


def _new_log(folder: Path) -> Path:
    refuse_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("*.log"))[: -LOGS + 1]:
        with contextlib.suppress(OSError):  # another follower removed it, or it is another user's
            if time.time() - old.stat().st_mtime > NEW_S:
                old.unlink()
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{secrets.token_hex(2)}.log"
    return folder / name


def _environment() -> dict[str, str]:
    """The trainer's environment, without its devices and thread counts."""
    few = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "GOMAXPROCS": "1"}
    return interpreter.environment() | few


def watcher(pid: int) -> Callable[[], bool]:
    """A function that says whether the process, not a later one with its number, is running."""
    first = start_time(pid)
    return lambda: first != DEAD and start_time(pid) == first


def follow(
    runs: Path,
    stage_ids: Sequence[str],
    *,
    feed: Feed,
    say: Say,
    alive: Callable[[], bool],
    stop: threading.Event,
    poll_s: float = POLL_S,
    beat: Beat = lambda: None,
    rank: Rank = Rank(),
    again: Collection[str] = (),
) -> list[StageMirror]:
    """Mirror the stages until all are finished, `alive` is false, or `stop` is set.

    Args:
        again: stages that have, or had just now, a result that their next run replaces. It is not
            waited for if `alive` is false or `stop` is set.
    """
    if feed.access.mode == "disabled":
        return []
    folders = [stage_folder(runs, stage_id) for stage_id in dict.fromkeys(stage_ids)]
    # one process online: the stage's own run shows its use of the machine
    shared = rank.pid if rank.of == 1 and feed.access.mode == "online" else None
    mirrors = [StageMirror(folder, feed, say, beat=beat, pid=shared) for folder in folders]
    pid = rank.pid
    uses = [MachineUse(f, feed, rank.number, pid, say) for f in folders] if pid else []
    if rank.number:
        mirrors = []
    earlier = {f.id: result for f in folders if f.id in again and (result := _result(f))}
    last = False
    while not last and not all(_over(mirrors, folders)):
        last = stop.wait(poll_s) or not alive()  # asked first, so the last advance misses nothing
        kept = {} if last else earlier.items()
        earlier = {id_: old for id_, old in kept if _result(stage_folder(runs, id_)) == old}
        for mirror in mirrors:
            beat()
            if mirror.folder.id not in earlier:
                mirror.advance()
        shown = {each.folder.id for each in mirrors if shared and each.mode == "online"}
        for use in uses:
            beat()
            if use.folder.id not in shown:
                use.advance()
    for use in uses:
        use.close()
    for mirror in mirrors:
        mirror.close()
        say(f"{mirror.folder.id}: {mirror.standing}, {mirror.added} rows {mirror.mode}")
    return mirrors


def _over(mirrors: Sequence[StageMirror], folders: Sequence[StageFolder]) -> Iterator[bool]:
    """For each stage, whether there is nothing left to follow."""
    if mirrors:
        return (mirror.over for mirror in mirrors)
    return (_result(folder) is not None for folder in folders)


def _result(folder: StageFolder) -> tuple[int, int] | None:
    """Identifies the file with the stage's result; None if there is none."""
    try:
        found = (folder.path / "result.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def main(argv: Sequence[str] | None = None) -> None:
    """The follower's main function: handles signals, lowers its priority, and may exit hard."""
    parser = argparse.ArgumentParser(prog="harness.track.follow", description=__doc__)
    parser.add_argument("--tracker", required=True, help="kind of the tracker to mirror into")
    parser.add_argument("--runs", type=Path, required=True, help="the run root")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--stages", nargs="+", default=[], help="stage ids to mirror")
    parser.add_argument("--again", nargs="*", default=[], help="those that are to be run again")
    what.add_argument("--report", default="", help="name of a report to mirror, once")
    parser.add_argument("--rank", type=int, default=0, help="which of their processes to follow")
    parser.add_argument("--ranks", type=int, default=1, help="of how many")
    parser.add_argument(
        "--until-pid", type=int, help="process that runs them; default: as the ledger says"
    )
    parser.add_argument("--poll", type=float, default=POLL_S, help="seconds between two readings")
    parser.add_argument(
        "--quiet",
        type=float,
        default=QUIET_S,
        help="seconds after which a tracker that does not answer is dropped",
    )
    given = parser.parse_args(argv)
    tolerate_print_errors()
    tracker = trackers()[given.tracker]
    feed = Feed(tracker, access(tracker))

    def say(text: str) -> None:
        print(time.strftime("%H:%M:%S"), feed.access.redact(text), flush=True)

    def any_running() -> bool:
        return any(read_entry(stage_folder(given.runs, s)).state == "running" for s in given.stages)

    stop = _signals()
    with contextlib.suppress(OSError):
        os.nice(19)
    say(f"following {given.report or f'{len(given.stages)} stages'} {feed.access.mode}")

    def work(beat: Beat) -> None:
        if given.report:
            report = ReportMirror(given.runs, given.report, feed, beat=beat, say=say)
            report.advance()
            say(f"{given.report}: {report.standing} {report.mode} {report.trouble}".rstrip())
            return
        alive = watcher(given.until_pid) if given.until_pid else any_running
        follow(
            given.runs,
            given.stages,
            feed=feed,
            say=say,
            alive=alive,
            stop=stop,
            poll_s=given.poll,
            beat=beat,
            rank=Rank(given.rank, given.ranks, given.until_pid),
            again=given.again,
        )

    try:
        watched(work, max(given.quiet, 2 * given.poll), tracker.title)
    except TrackerError as error:
        say(str(error))
        os._exit(1)  # a thread that hangs must not keep the process
    finally:
        late = threading.Timer(GRACE_S, os._exit, (1,))
        late.daemon = True
        late.start()
    say("ended")


def _signals() -> threading.Event:
    """An event that SIGTERM sets: finish in order. Signals that ask the trainer for a checkpoint
    are ignored: a scheduler sends them to every process of a job, and by default they kill."""
    stop = threading.Event()
    for name in ("SIGUSR1", "SIGUSR2", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop


if __name__ == "__main__":
    main()
