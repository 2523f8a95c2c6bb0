"""Run a plan in the background of this machine: one job of submitit's local executor.

The launcher starts `python -m harness.launch.local.job` in a new session, so that a closed
terminal, or Ctrl-C in it, does not reach the job. That process starts the job and prints its
number.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data_roots import read
from harness.errors import DiskError
from harness.inputs import Inputs
from harness.launch import job_file
from harness.launch.job_end import report, run_or_exit
from harness.launch.signals import StopFlag
from harness.plan import make_plan
from harness.site import Site
from harness.spec.declarations import load
from harness.stage.reporter import Reporter
from harness.store import atomic, submission

FOREVER_MIN = 60 * 24 * 365
"""Minutes; the local executor requires a time limit."""
INTERRUPTED = 130
RUN = "harness.app.running:run_stages"
"""The function that runs a plan's stages, by name: launchers import nothing of harness.app."""


@dataclass(frozen=True)
class LocalJob:
    """A plan as a job.

    Attributes:
        submission: the submission's id. Only its stages are run: the submitter has checked which
            stages other jobs already have, jobs of other launchers included.
        recipe: the recipe's copy.
        visible: the user's CUDA_VISIBLE_DEVICES; submitit changes it. None: not set.
    """

    submission: str
    recipe: str
    sets: tuple[str, ...]
    runs: str
    data_root: str
    device: str
    processes: int
    again: bool
    visible: str | None
    at_once: int = 1

    def __call__(self) -> str:
        """Run the plan and write its report.

        Raises:
            SystemExit: it was stopped, or a stage failed.
        """
        if self.visible is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.visible
        with StopFlag() as stopping:  # before any slow work
            return run_or_exit(lambda: self._run(stopping))

    def _run(self, stopping: StopFlag) -> str:
        from rich.console import Console

        from harness.launch.progress import watching

        recipe, runs = Path(self.recipe), Path(self.runs)
        ours = submission.read(runs, self.submission).stages
        inputs = Inputs(read(self.data_root), runs)
        made = make_plan(recipe, self.sets, runs, again=self.again, inputs=inputs)
        made = replace(made, stages=tuple(stage for stage in made.stages if stage.id in ours))
        site = Site(
            read(self.data_root), runs, self.device, self.processes, 0.0, at_once=self.at_once
        )
        console = Console(highlight=False, width=200)

        @contextlib.contextmanager
        def working(stages: int) -> Iterator[tuple[Reporter, StopFlag]]:
            with watching(console, stages) as reporter:
                yield reporter, stopping

        tally = load(RUN)(made, site, working, _note).tally
        page = report(self.recipe, self.sets, site)
        if tally.interrupted:
            print("stopped after a checkpoint; the same command resumes", flush=True)
            raise SystemExit(INTERRUPTED)
        for stage, message in tally.failed:
            print(f"failed: {stage}: {message}", file=sys.stderr, flush=True)
        for message in filter(None, tally.elsewhere.values()):
            print(message, file=sys.stderr, flush=True)
        if tally.exit_code:
            raise SystemExit(tally.exit_code)
        return page


def _note(text: str) -> None:
    print(f"note: {text}", flush=True)


def main() -> None:
    """Start the job and print its number; the job continues after this process ends."""
    parser = argparse.ArgumentParser(prog="harness.launch.local.job", description=__doc__)
    parser.add_argument(
        "file", type=Path, help="the job's description; see harness.launch.job_file"
    )
    said = parser.parse_args()
    import submitit

    folder = said.file.parent
    executor = submitit.LocalExecutor(folder, max_num_timeout=0)
    executor.update_parameters(timeout_min=FOREVER_MIN)
    # the job must not hold the caller's pipes open
    with os.fdopen(os.dup(1), "w") as answer, os.fdopen(os.dup(2), "w") as complaint:
        with (folder / "controller.log").open("ab") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        try:
            number = executor.submit(job_file.call, str(said.file)).job_id
        except OSError as error:
            complaint.write(f"{atomic.write_error(error, folder)}\n")
            complaint.flush()
            os._exit(DiskError.exit_code)
        answer.write(f"{number}\n")
    os._exit(0)  # else Python warns about the child that still runs


if __name__ == "__main__":
    main()
