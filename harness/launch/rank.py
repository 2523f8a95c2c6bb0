"""One process of a stage that several share: `python -m harness.launch.rank FOLDER ...`.

It finds its rank in the environment of torchrun, SLURM, or `launch.here`:
    torchrun --nproc-per-node 8 -m harness.launch.rank RUNS/STAGE --data DATA
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from harness.data_roots import read
from harness.errors import HarnessError
from harness.launch.abort import abort_stage
from harness.launch.progress import watching
from harness.launch.signals import StopFlag
from harness.launch.spawn import COLLECTIVE_WAIT_S
from harness.launch.threads import use_threads
from harness.look.after import keep_look
from harness.output import inert, tolerate_print_errors
from harness.redact import redact
from harness.runtime.environment import Placement, resolve
from harness.runtime.failure_detection import OnLoss
from harness.runtime.rendezvous import RendezvousFailed
from harness.runtime.world import join
from harness.stage.execute import Job, execute, own_device, pick_device
from harness.stage.reporter import Reporter
from harness.store.layout import StageFolder


def run_as(
    placement: Placement,
    job: Job,
    reporter: Reporter,
    stopping: Callable[[], bool],
    *,
    rendezvous_timeout: float = 60,
    lost: Callable[[], object] = lambda: None,
    on_loss: OnLoss | None = None,
    threads: int = 0,
) -> str:
    """Run the stage as one of `placement`'s processes; raises as `execute`, or if a peer is lost.

    Args:
        rendezvous_timeout: seconds that the other processes may arrive later at the rendezvous.
        lost: called until all processes have connected; raises a HarnessError if one never will.
        on_loss: ends this process where the loss of a peer cannot be raised; None: `abort_stage`.
        threads: the number that other stages of its plan have on the CPU; 0: not known.
    """
    state = "interrupted"
    device = own_device(job.device, placement)
    use_threads(placement, device.type, StageFolder(job.folder), threads)
    with (
        contextlib.suppress(RendezvousFailed),
        join(
            placement,
            device,
            timeout=COLLECTIVE_WAIT_S,
            rendezvous_timeout=rendezvous_timeout,
            stopping=lambda: bool(lost()) or stopping(),
            on_loss=on_loss or functools.partial(abort_stage, StageFolder(job.folder)),
        ) as world,
    ):
        state = execute(job, reporter, stopping, world)
    if state == "finished" and placement.rank == 0:  # the others need not wait
        keep_look(job, device, reporter, stopping)
    return state


def main() -> int:
    """Run the process; returns its exit code: 0 for a result, 130 if stopped, else 1 or an
    error's."""
    parser = argparse.ArgumentParser(prog="harness.launch.rank", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the stage")
    parser.add_argument("--data", type=read, required=True, help="data root, or several")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="of the plan's other stages")
    words = parser.parse_args()
    tolerate_print_errors()
    try:
        placement = resolve(os.environ)
        job = Job(words.folder, words.data, pick_device(words.device, placement))
        console = Console(highlight=False, stderr=True)
        with (
            StopFlag() as stopping,
            watching(console, 1) as reporter,
            _followed(words.folder, placement),
        ):
            state = run_as(placement, job, reporter, stopping, threads=words.threads)
    except HarnessError as error:
        print(inert(f"error: {redact(str(error))}"), file=sys.stderr)
        return error.exit_code
    return 130 if state == "interrupted" else 0


@contextlib.contextmanager
def _followed(folder: Path, placement: Placement) -> Iterator[None]:
    """Context in which the trackers show how this process uses its machine, unless it is the first:
    whoever starts that one has the stage followed."""
    if placement.rank == 0:
        yield
        return
    from harness.track.follow import start

    followers = start(folder.parent, [folder.name], rank=placement.rank, ranks=placement.size)
    try:
        yield
    finally:
        followers.stop()


if __name__ == "__main__":
    sys.exit(main())
