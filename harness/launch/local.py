"""Run a plan in the background of this machine: one job of submitit's local executor.

`submit` starts `python -m harness.launch.local` in a session of its own, so that a terminal that
goes away, or Ctrl-C in it, does not reach the job; that process starts the job and prints its
number.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import interpreter
from harness.errors import HarnessError
from harness.inputs import Inputs
from harness.launch import clients, handover
from harness.launch.job import report, told
from harness.launch.signals import StopFlag
from harness.plan import Plan, make_plan
from harness.site import Site
from harness.spec.declarations import load
from harness.stage.reporter import Reporter
from harness.store import submission
from harness.store.submission import Array, Submission

FOREVER_MIN = 60 * 24 * 365
"""Minutes: the local executor wants a time limit."""
INTERRUPTED = 130
RUN = "harness.app.running:run_stages"
"""What runs a plan's stages, by name: launchers import nothing of harness.app."""


@dataclass(frozen=True)
class LocalJob:
    """A plan as a job: what submitit pickles.

    Attributes:
        submission: the submission's id. Its stages alone are run: the submitter has looked who else
            has which, SLURM's jobs included.
        recipe: the recipe's copy.
        visible: CUDA_VISIBLE_DEVICES as the user had it; submitit changes it. None: not set.
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

    def checkpoint(self) -> Any:
        """The same, which goes on."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def __call__(self) -> str:
        """Run the plan and write its report.

        Raises:
            SystemExit: it was stopped, or a stage failed.
        """
        if self.visible is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.visible
        with StopFlag() as stopping:  # before all that takes time
            return told(lambda: self._run(stopping))

    def _run(self, stopping: StopFlag) -> str:
        from rich.console import Console

        from harness.launch.progress import watching

        recipe, runs = Path(self.recipe), Path(self.runs)
        ours = submission.read(runs, self.submission).stages
        inputs = Inputs(Path(self.data_root), runs)
        made = make_plan(recipe, self.sets, runs, again=self.again, inputs=inputs)
        made = replace(made, stages=tuple(stage for stage in made.stages if stage.id in ours))
        site = Site(Path(self.data_root), runs, self.device, self.processes, 0.0)
        console = Console(highlight=False, width=200)

        @contextlib.contextmanager
        def working(stages: int) -> Iterator[tuple[Reporter, StopFlag]]:
            with watching(console, stages) as reporter:
                yield reporter, stopping

        tally = load(RUN)(made, site, working, _note).tally
        page = report(self.recipe, self.sets, site)
        if tally.interrupted:
            print("stopped; the same command goes on from here", flush=True)
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


def submit(plan: Plan, site: Site, sets: Sequence[str], *, again: bool) -> Submission:
    """Run what the plan has to do in the background; the caller holds the run root's claim.

    Raises:
        HarnessError: the job could not be started.
        StoreError: the run root cannot be written.
    """
    runs = site.runs.absolute()
    begun = handover.begin(
        plan,
        runs,
        sets,
        on="local",
        arrays=lambda sid: [Array(f"moco-{sid}-0", "all", tuple(s.id for s in plan.todo))],
    )
    record = begun.record
    words = interpreter.command("harness.launch.local", str(begun.folder))
    words += ["--recipe", str(begun.recipe)]
    words += ["--runs", str(runs), "--data", str(site.data.absolute()), "--device", site.device]
    words += ["--processes", str(site.processes), *(["--again"] if again else [])]
    words += [word for text in sets for word in ("--set", text)]
    started = subprocess.run(
        words,
        env=interpreter.environment(begun.code),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    if started.returncode:
        why = clients.last_line(started.stderr) or "no reason given"
        raise HarnessError(f"the background job could not be started: {why}")
    record = record.job(0, started.stdout.strip())
    submission.write(runs, record)
    return record


def main() -> None:
    """Start the job and print its number; the job outlives this process."""
    parser = argparse.ArgumentParser(prog="harness.launch.local", description=__doc__)
    parser.add_argument("folder", type=Path, help="the submission's folder")
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--runs", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--again", action="store_true")
    said = parser.parse_args()
    import submitit

    from harness.launch.local import LocalJob as Imported  # not __main__'s, which no job could load

    job = Imported(
        said.folder.name,
        said.recipe,
        tuple(said.sets),
        said.runs,
        said.data,
        said.device,
        said.processes,
        said.again,
        os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    executor = submitit.LocalExecutor(said.folder, max_num_timeout=0)
    executor.update_parameters(timeout_min=FOREVER_MIN)
    with os.fdopen(os.dup(1), "w") as answer:  # the job must not keep the caller's pipes open
        with (said.folder / "controller.log").open("ab") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        number = executor.submit(job).job_id
        answer.write(f"{number}\n")
    os._exit(0)  # or Python would warn of a child that is left running


if __name__ == "__main__":
    main()
