"""The work of a SLURM job: one stage, or the report; see `harness.launch.job_file`."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from harness.command import Commands
from harness.data_roots import read
from harness.errors import HarnessError
from harness.launch.job_end import report, run_or_exit
from harness.launch.signals import StopFlag
from harness.launch.slurm.requeue import end, record_dead_ranks, should_requeue
from harness.output import tolerate_print_errors
from harness.store.layout import StageFolder
from harness.store.ledger import read_entry

if TYPE_CHECKING:
    from harness.runtime.environment import Placement

RENDEZVOUS_S = 600.0
"""Seconds between the starts of the first and the last process, without the copying of data: nodes
read their libraries at different speeds."""
LAST_WORDS_S = 10.0
"""Seconds that a process with an error waits before it ends (which ends the others), so that the
first process can record the reason."""
MIRROR_S = 30.0
"""Seconds that trackers may take at the end of a stage."""
HURRY_S = 5.0
"""The same if the stage resumes after a requeue, when the trackers upload what is missing."""


@dataclass(frozen=True)
class StageJob:
    """One stage as a job.

    Attributes:
        folder: the stage's folder, with its stage.json.
        code: the folder that the harness must be imported from.
        stage_data: folder on the node's own disk for the data; variables in it are expanded. None:
            the data is read from the data root.
        requeues: maximum number of earlier restarts for which the loss of a process still leads to
            a requeue, not to a failure.
    """

    folder: str
    data_root: str
    device: str
    code: str
    stage_data: str | None = None
    requeues: int = 50

    def __call__(self) -> str:
        """Run the stage; returns finished, diverged, or none if its pre-training has diverged.

        Raises:
            SystemExit: it was stopped or failed; the reason is in the attempt's folder and the log.
            Exception: a bug.
        """
        tolerate_print_errors()
        handler = signal.getsignal(signal.SIGUSR2)
        with StopFlag(signal.SIGUSR2, signal.SIGTERM) as flag:
            state = run_or_exit(lambda: self._run(flag, handler), _let_the_first_speak)
        if state == "interrupted":
            end(handler, flag.heard)
        return state

    def _run(self, flag: StopFlag, handler: object) -> str:
        _check_code(self.code)
        folder = StageFolder(Path(self.folder))
        if (state := _settled(folder)) is not None:
            print(f"{folder.id}: {state}", flush=True)
            self._draw(folder, flag)
            return state

        from rich.console import Console

        from harness.launch import abort
        from harness.launch.progress import watching
        from harness.launch.rank import run_as
        from harness.launch.slurm import staging
        from harness.runtime.environment import resolve
        from harness.runtime.failure_detection import LostPeer
        from harness.stage.execute import Job, pick_device

        placement = resolve(os.environ)
        root, rendezvous_timeout = read(self.data_root), RENDEZVOUS_S
        if self.stage_data is not None:
            recipe = staging.own(folder.described or {})
            first = placement.local_rank == 0
            staged = staging.stage(recipe, root, self.stage_data, first=first, stopping=flag)
            if staged is None:
                return "interrupted"
            root, rendezvous_timeout = staged, RENDEZVOUS_S + staging.WAIT_S
        job = Job(folder.path, root, pick_device(self.device, placement))
        console = Console(highlight=False, width=200)

        def goes_on_without(lost: LostPeer) -> bool:
            if not (lost.died and should_requeue(self.requeues, flag)):
                return False
            record_dead_ranks(folder, lost.died, str(lost))
            return True

        def give_up(lost: LostPeer) -> None:  # the handler below, where nothing can be raised
            if _settled(folder) is not None:
                raise SystemExit(0)
            if goes_on_without(lost):
                end(handler, flag.heard)
            _let_the_first_speak()
            abort.abort_stage(folder, lost)

        if flag():  # stopped during start: there is nothing to save
            return "interrupted"
        try:
            with _mirrored(folder, placement), watching(console, 1) as reporter:
                on_loss = functools.partial(abort.abort_after, give_up)
                return run_as(
                    placement,
                    job,
                    reporter,
                    flag,
                    rendezvous_timeout=rendezvous_timeout,
                    on_loss=on_loss,
                )
        except HarnessError as error:
            if (state := _settled(folder)) is not None:  # by another process meanwhile
                return state
            if isinstance(error, LostPeer) and goes_on_without(error):
                return "interrupted"
            raise

    def _draw(self, folder: StageFolder, flag: StopFlag) -> None:
        """Keep what the finished stage shows, if its first process was killed before it had."""
        from harness.launch.missing_looks import lacks_look

        if os.environ.get("SLURM_PROCID", "0") != "0" or not lacks_look(read_entry(folder)):
            return
        import torch

        from harness.look.after import why_not_kept
        from harness.stage.execute import Job, pick_device

        device = pick_device(self.device)
        job = Job(folder.path, read(self.data_root), device)
        if why := why_not_kept(job, torch.device(device), flag):
            print(f"note: no pictures are kept: {why}", flush=True)


@dataclass(frozen=True)
class ReportJob:
    """The report of a recipe's runs as a job.

    Attributes:
        recipe: the recipe's copy.
        sets: its --set options.
    """

    recipe: str
    sets: tuple[str, ...]
    runs: str
    data_root: str
    code: str

    def __call__(self) -> str:
        """Write the report; returns its page's path.

        Raises:
            SystemExit: it could not be written; the log has the reason.
        """
        return run_or_exit(self._write, _let_the_first_speak)

    def _write(self) -> str:
        _check_code(self.code)
        from harness.site import Site

        site = Site(read(self.data_root), Path(self.runs), "auto", 1, 0.0)
        return report(self.recipe, self.sets, site)


def _let_the_first_speak() -> None:
    if os.environ.get("SLURM_PROCID", "0") != "0":
        time.sleep(LAST_WORDS_S)


def _check_code(code: str) -> None:
    """Raise a HarnessError unless this process runs the code that was submitted."""
    ours = Path(harness.__file__).resolve().parent.parent
    if ours != Path(code).resolve():
        raise HarnessError(
            f"this job imports the harness from {ours}, but {code} was submitted; do not change "
            "PYTHONPATH and PYTHONSAFEPATH in slurm.setup of the site file"
        )


def _settled(folder: StageFolder) -> str | None:
    """The outcome of a stage with nothing left to do; None if there is work left."""
    if (result := folder.result) is not None:
        return str(result["state"])
    above = folder.parent.result if folder.parent is not None else None
    return "none" if above is not None and above["state"] == "diverged" else None


@contextlib.contextmanager
def _mirrored(folder: StageFolder, placement: Placement) -> Iterator[None]:
    """Context in which the trackers follow this process, and as the first one the stage."""
    from harness.track.follow import start

    first = placement.rank == 0
    place = {"rank": placement.rank, "ranks": placement.size}
    followers = start(folder.path.parent, [folder.id], **place)
    if followers.warning and first:
        print(f"note: {followers.warning}", flush=True)
    try:
        yield
    finally:
        over = folder.result is not None
        if not over:  # else they wait until this process ends
            followers.stop()
        if not followers.wait(MIRROR_S if over else HURRY_S) and over and first:
            late, sync = " and ".join(followers.running), Commands(folder.path.parent).line("sync")
            print(f"note: {late} has not finished; `{sync}` uploads what is missing", flush=True)
