"""Results of running, submitting and reporting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.launch.protocol import Tally
    from harness.plan import Plan
    from harness.report.collect import Results
    from harness.store.submission import Array, Submission

INTERRUPTED = 130
"""Exit code after a stop on request."""
FAILED = HarnessError.exit_code


@dataclass(frozen=True)
class Outcome:
    """How the stages of one call ended."""

    tally: Tally | None
    """None: stopped at once, between two steps."""
    left: tuple[str, ...] = ()
    """Stages that other processes are running and that have no result yet."""

    @property
    def interrupted(self) -> bool:
        return self.tally is None or self.tally.interrupted

    @property
    def exit_code(self) -> int:
        """0: all succeeded; INTERRUPTED; else the exit code that the failures share."""
        return INTERRUPTED if self.tally is None or self.interrupted else self.tally.exit_code


@dataclass(frozen=True)
class Report:
    """A report that was written."""

    results: Results
    """The results of the runs."""
    files: tuple[Path, ...]
    """All files of the report."""
    unfinished: tuple[str, ...] = ()
    """Folders of data that were too large to be compared in time."""

    @property
    def page(self) -> Path:
        """The HTML page."""
        return next(path for path in self.files if path.suffix == ".html")


@dataclass(frozen=True)
class Ran:
    """Result of one call of `run`."""

    plan: Plan
    """The plan before the run."""
    outcome: Outcome | None
    """None: nothing was left to run."""
    report: Report | None
    """None: it could not be written."""

    @property
    def exit_code(self) -> int:
        """0: all is done. 130: stopped. Else the code that the failed stages share, or 1, also if
        another process has a stage or the report could not be written."""
        code = self.outcome.exit_code if self.outcome is not None else 0
        made = self.plan
        busy = any(each.action == "busy" and not made.is_beside(each) for each in made.stages)
        return code or (FAILED if busy or self.report is None else 0)


@dataclass(frozen=True)
class Submitted:
    """Result of one call of `submit`."""

    plan: Plan
    """The plan before the submission."""
    on: str
    """The launcher."""
    why: Literal["submitted", "dry", "busy", "finished", "meanwhile"]
    """busy, finished: every unfinished stage has a job or a process, or all are finished.
    meanwhile: another process has started the rest."""
    submission: Submission | None = None
    scripts: tuple[tuple[Array, str], ...] = ()
    """The scripts, with JOB0 for the id of the first job; () if the launcher has none."""
    report: Report | None = None
    """The report if all is finished; None: it could not be written."""

    @property
    def exit_code(self) -> int:
        """0, unless the report could not be written."""
        return FAILED if self.why == "finished" and self.report is None else 0
