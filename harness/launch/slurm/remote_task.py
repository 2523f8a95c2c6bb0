"""Remote tasks: run a small task on the site's nodes, as stages are run, and wait for its answer.

The task writes its answer as a file into a folder shared with the sender.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.command import Commands
from harness.errors import HarnessError
from harness.launch import failure_reason, snapshot
from harness.launch.job_states import JobState
from harness.launch.slurm import clients
from harness.launch.slurm.queue import Queue, QueueAnswer
from harness.launch.slurm.sbatch import NamedWork, NotSubmitted, executor, submitted
from harness.launch.slurm.site import SlurmSite
from harness.site import Site
from harness.store import submission
from harness.store.submission import Array

POLL_S = 1.0
ENDED_S = 15.0
"""Seconds that a job must have been over before it counts as failed: accounting may be ahead of or
behind the file system, and a job about to be requeued is shown as ended."""


@dataclass(frozen=True)
class RemoteTask:
    """A task that was submitted."""

    array: Array
    folder: Path
    """Folder of its script, logs and answer."""
    t: float
    """When it was submitted, in seconds since 1970."""
    commands: Commands
    """Commands for messages to the sender."""


def send(
    work: NamedWork, site: Site, own: SlurmSite, folder: Path, *, minutes: float
) -> RemoteTask:
    """Submit one job that does `work` in each of its processes.

    Args:
        own: how the job is requested.
        minutes: its time limit.

    Raises:
        HarnessError: sbatch refused it, or does not answer.
        StoreError: the run root cannot be written.
    """
    began = time.time()
    code = snapshot.take(site.runs.absolute(), clean=False)
    name = f"moco-{submission.new_id()}-errand"
    array = Array(name, "knn", ("errand",))
    hours = own.hours.model_copy(update={"knn": minutes / 60})
    limited = own.model_copy(update={"hours": hours})
    made = executor(limited, array, folder.absolute(), code, None)
    try:
        job = submitted(made, array, folder.absolute(), [work])
    except NotSubmitted as error:
        how = "does not answer" if error.silent else "refused the job"
        raise HarnessError(f"SLURM {how}: {error}") from error
    sent = Array(name, "knn", ("errand",), job=job)
    return RemoteTask(sent, folder.absolute(), began, Commands(site.runs.absolute(), site.file))


def wait(
    task: RemoteTask, answer: Path, *, on_change: Callable[[JobState], object] = lambda _: None
) -> None:
    """Wait until the file `answer` exists. If the caller is interrupted, the job is cancelled.

    Args:
        on_change: called with the job's state whenever it changes.

    Raises:
        Failed: the job ended without an answer; with the reason and the end of its log.
    """
    queue = Queue()
    last: tuple[str, str] | None = None
    ending: float | None = None
    try:
        while not answer.exists():
            state = state_of(queue.ask([task.array], task.t), task.array)
            if (state.state, state.reason) != last:
                last = state.state, state.reason
                on_change(state)
            over = not state.live and state.state != "UNKNOWN"
            ending = (ending or time.monotonic()) if over else None
            if ending is not None and time.monotonic() - ending > ENDED_S:
                raise failure(task.folder, task.commands, state)
            time.sleep(POLL_S)
    except BaseException:
        cancel([task.array])
        raise


class Failed(HarnessError):
    """A job ended without its answer.

    Attributes:
        node: where it ran; "" if it did not start.
        silent: it left no log.
    """

    def __init__(self, message: str, node: str, *, silent: bool) -> None:
        super().__init__(message)
        self.node, self.silent = node, silent


def failure(folder: Path, commands: Commands, state: JobState) -> Failed:
    """Why the job with logs in `folder` has ended, and what to do."""
    log = _newest_log(folder)
    text = failure_reason.tail(log) if log is not None else ""
    found = failure_reason.failure_reason(state, ended="", message="", log=text, commands=commands)
    remedy = f"; {found.remedy}" if found.remedy else ""
    said = f"job {state.job}: {found.words}{remedy}{tail(folder)}"
    return Failed(said, state.node, silent=log is None)


def state_of(answer: QueueAnswer, array: Array) -> JobState:
    """The state of an array of one job in SLURM's answer."""
    return answer.jobs.get(array.job or "", JobState(array.job or "", "UNKNOWN"))


def cancel(arrays: Sequence[Array]) -> None:
    """Cancel the jobs, as far as SLURM answers."""
    jobs = [array.job for array in arrays if array.job is not None]
    if jobs:
        command("scancel", *jobs)


def command(*words: str) -> str | None:
    """Output of a SLURM client; None if it failed."""
    said = clients.order(*words)
    return None if said.error else "\n".join(said.lines)


def _newest_log(folder: Path) -> Path | None:
    logs = [path for path in folder.glob("*_log.err") if path.stat().st_size]
    return max(logs, key=lambda path: path.stat().st_mtime, default=None)


def tail(folder: Path, lines: int = 5) -> str:
    """The end of the newest error log in the folder, with its path; "" if there is none."""
    newest = _newest_log(folder)
    if newest is None:
        return f"; its logs, if any, are in {folder}"
    said = newest.read_text(errors="replace").strip().splitlines()[-lines:]
    return f"; {newest} ends:\n  " + "\n  ".join(said)
