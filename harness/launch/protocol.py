"""What a launcher is asked for: the protocol between whoever wants stages run and what runs them.

A launcher is declared by a `harness.spec.declarations.Launcher`. Some run stages in the process
that asks for them (`Attached`); of the others (`Detached`) every call writes a submission, whose
jobs go on without the submitter. What became of those is told by `Jobs`, from the run root and the
scheduler alone, whatever the site file says by then. What has a body here may be left as it is.

A job's logs are RUNS/submissions/<submission>/<job>_<process>_log.out and .err.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness.errors import HarnessError
from harness.launch.job_states import JobState
from harness.launch.last_attempt import LastAttempt
from harness.store.submission import Array, Submission

if TYPE_CHECKING:
    from harness.estimate import Computer
    from harness.plan import Plan
    from harness.site import Site
    from harness.stage.reporter import Reporter

Handed = Mapping[str, tuple[Submission, Array, int]]
"""By stage id: its newest submission, its array there, and its place in that array."""


@dataclass(frozen=True)
class Amount:
    """About how much work is to begin."""

    hours: float | None
    """None: nobody knows."""
    unit: Literal["hours", "GPU-hours", "node-hours"] = "hours"
    limit: float = 0.0
    """More than this is asked about before it begins."""
    here: bool = True
    """This machine sees the data as whatever computes will."""


@dataclass(frozen=True)
class Draft:
    """One array that would be submitted, for a person to look at."""

    array: Array
    script: str
    """What the scheduler would be handed."""
    nodes: int
    gpus: int
    """Of all nodes together."""
    hours: float
    """After which the scheduler ends a job."""


@dataclass(frozen=True)
class Drafts:
    """All that would be submitted, for a person to look at."""

    to: str
    """The scheduler."""
    where: str
    """Which part of it."""
    amount: Amount
    each: tuple[Draft, ...]


@dataclass(frozen=True)
class Answer:
    """What became of jobs, as far as could be told."""

    states: Mapping[str, JobState] = field(default_factory=dict)
    """By stage id; a stage is left out if no job of it was ever submitted."""
    numbers: Mapping[str, str] = field(default_factory=dict)
    """Job by the array's name, of every name that the scheduler knows."""
    notes: tuple[str, ...] = ()
    """Who did not answer, in sentences for a person."""


@dataclass
class Tally:
    """How the stages of a plan ended."""

    finished: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Left to another process: stage -> who runs it; "" for those that wait for such a stage."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    codes: set[int] = field(default_factory=set)
    """Exit codes of the errors by which stages failed."""
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """What the failures have in common; 1 where they have nothing, 0 where nothing failed."""
        if self.failed:
            return next(iter(self.codes)) if len(self.codes) == 1 else HarnessError.exit_code
        return HarnessError.exit_code if self.elsewhere else 0


class Jobs(Protocol):
    """Tells of a launcher's jobs again and again; remembers which are over."""

    def look(self, runs: Path, handed: Handed) -> Answer:
        """What became of the stages' jobs, all of this launcher's."""

    def held(
        self, runs: Path, submissions: Sequence[Submission]
    ) -> tuple[list[tuple[Submission, str]], tuple[str, ...]]:
        """(submission, stage) of every job of these that is not over for sure, "" for a report's;
        and who did not answer, in sentences."""

    def mute(self, nodes: Iterable[str]) -> frozenset[str]:
        """Those of the jobs' nodes that do not answer the scheduler."""
        del nodes
        return frozenset()

    def is_of(self, life: LastAttempt, made: Submission, job: JobState) -> bool:
        """Whether the attempt is the job's."""
        return life.of(made.on, job.job, made.cluster)

    def cannot_stop(self, made: Submission, job: JobState) -> str:
        """Why this user, here, cannot stop a job of their own, in a sentence; "" if they can."""
        del made, job
        return ""

    def ends(self, job: str) -> str:
        """The command with which a person ends a job of this launcher's."""

    def stops(self, jobs: Sequence[str]) -> Iterator[str]:
        """What stopping these jobs does, in sentences for a person."""

    def stop(self, jobs: Sequence[str]) -> Iterator[str]:
        """Ask the jobs to stop; what went wrong, in sentences."""


class Work(Protocol):
    """Stages that were begun and are watched."""

    def look(self) -> None:
        """Raise a HarnessError if a stage will not finish."""

    def warn(self) -> None:
        """Ask the (only) stage's processes to stop, as before preemption; they are begun anew."""

    def kill(self) -> None:
        """SIGKILL, of which they hear nothing; they are begun anew."""

    def close(self) -> None:
        """End what is left of it."""


class Testbed(Protocol):
    """Where stages run while somebody watches, and warns or kills them."""

    words: str
    """For a person."""
    nodes: int
    processes: int
    """Of a stage that all share."""
    cuda: bool

    def start(self, plan: Plan, site: Site, processes: int) -> Work:
        """Run the plan's stages, each by so many processes, under the run root of `site`."""

    def call(self, work: str, words: Mapping[str, Any], site: Site, folder: Path) -> None:
        """Have all processes do the work of that name (see `job_file`), which leaves answer.json in
        `folder`; returns when it is there."""


class Launcher(Protocol):
    """A launcher that was opened for a site."""

    def computer(self) -> Computer | None:
        """What a stage is computed by; None where that is not known."""

    def ready(self) -> None:
        """Do nothing, unless nothing could be run: asked before anything starts.

        Raises:
            HarnessError: the machine has no such device.
        """
        return

    def testbed(self) -> Testbed:
        """For `certify`.

        Raises:
            HarnessError: the launcher has none.
        """
        raise HarnessError("this launcher cannot be certified; say so to who wrote it")

    def scratch(self) -> tuple[Path, str] | None:
        """A folder of this machine, outside of the run root, into which jobs copy data, and how
        the copies' names begin; None if they copy none, or this machine cannot know where."""
        return None


class Attached(Launcher, Protocol):
    """Runs stages in the process that asks for them."""

    def run(self, plan: Plan, reporter: Reporter, stopping: Callable[[], bool]) -> Tally:
        """Run what the plan has to do, one stage after the other.

        Raises:
            NoData, DiskError: no stage can go on.
            HarnessError: the device is not there.
        """


class Detached(Launcher, Protocol):
    """Submits stages as jobs."""

    behind: bool = False
    """A job of its can wait for one of an earlier submission."""

    def amount(self, plan: Plan) -> Amount:
        """About how much work the plan has to do."""

    def drafts(
        self, plan: Plan, jobs: Mapping[str, JobState], *, report: bool = False
    ) -> Drafts | None:
        """What `submit` would submit now; None where there is nothing for a person to look at."""
        del plan, jobs, report
        return None

    def owes_report(
        self, plan: Plan, submissions: Sequence[Submission], jobs: Mapping[str, JobState]
    ) -> bool:
        """Whether stages of the plan have jobs, but no job waits for them to write its report."""
        del plan, submissions, jobs
        return False

    def adopt(
        self, runs: Path, submissions: Sequence[Submission], numbers: Mapping[str, str]
    ) -> list[str]:
        """Write down the jobs of submitters that died before they could; the arrays' names.

        Args:
            numbers: by array name, the job that the scheduler knows under it.
        """
        del runs, submissions, numbers
        return []

    def submit(
        self,
        plan: Plan,
        sets: Sequence[str],
        jobs: Mapping[str, JobState],
        note: Callable[[str], object],
        *,
        again: bool = False,
        report: bool = False,
    ) -> Submission:
        """Submit what the plan has to do; the caller holds the run root's claim.

        Args:
            sets: the --set options that the plan was made with.
            jobs: by stage id, what became of earlier submissions.
            note: told what is not as it should be, but no reason to stop.
            again: the plan was made to run stale stages anew.
            report: also where no stage is left to do.

        Raises:
            HarnessError: a job was refused, or could not be started.
            StoreError: the run root cannot be written.
        """
