"""What `check --run` and `--wait` do before anything is judged."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from harness.cli import show
from harness.errors import DiskError, HarnessError
from harness.output import inert
from harness.redact import redact
from harness.site import Site

INTERRUPTED = 130

PAUSE_S = 60.0
"""Between two looks at the queue."""


@dataclass(frozen=True)
class Task:
    """One recipe to check."""

    path: Path
    sets: tuple[str, ...]
    baseline: Path | None
    """What its results are compared with."""


def run_missing(tasks: Sequence[Task], site: Site, *, ask: bool) -> int:
    """Run, or submit to SLURM, what of each recipe is missing or stale, just as `run --again`.

    What is wrong with one recipe does not stop the others: its results stay missing.

    Returns:
        INTERRUPTED if stopped on request, else 0.

    Raises:
        DiskError: no recipe can go on.
    """
    from harness.cli.run import run_command
    from harness.cli.submit import place, slurm_command
    from harness.track import feed

    feed.check()  # what is wrong with a tracker's settings is told before anything runs
    for task in dict.fromkeys((task.path, task.sets) for task in tasks):
        path, sets = task
        show.line(f"{path}: what is missing or stale")
        try:
            if place("auto", site) == "slurm":
                slurm_command(path, sets, site, ask=ask, again=True, dry=False)
            elif run_command(path, sets, site, ask=ask, again=True) == INTERRUPTED:
                return INTERRUPTED
        except DiskError:
            raise
        except HarnessError as error:
            print(inert(redact(f"error: {path}: {error}")), file=sys.stderr)
        except typer.Exit:
            show.line(f"{path}: left as it is")  # the user does not want to begin so much work
    return 0


def waiting(tasks: Sequence[Task], site: Site) -> set[str]:
    """The ids of the stages that a process or a job has, or that wait for such a stage."""
    from harness.launch.outlook import look

    return {
        stage.id
        for task in tasks
        for stage in look(task.path, task.sets, site.runs).plan.stages
        if stage.action == "busy"
    }


def pause() -> None:
    time.sleep(PAUSE_S)


def wait(tasks: Sequence[Task], site: Site) -> int:
    """Return when nothing of the tasks is running or waits for it any more.

    Returns:
        INTERRUPTED if stopped on request, else 0.
    """
    before = 0
    try:
        while left := len(waiting(tasks, site)):
            if left != before:
                show.line(f"waiting for {show.count(left, 'stage')}")
            before = left
            pause()
    except KeyboardInterrupt:
        show.line("stopped waiting; the runs go on")
        return INTERRUPTED
    return 0
