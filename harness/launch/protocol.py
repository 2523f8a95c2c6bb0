"""The launcher protocol: what a launcher must do for the code that wants stages run.

A launcher is declared by a `harness.spec.declarations.Launcher`. An `Attached` launcher runs stages
in the calling process. A `Detached` one writes a submission on every call; its jobs continue
without the submitter. `Jobs` reports their states from the run root and the scheduler alone, even
if the site file has changed since. Methods that have a body here need not be overridden.

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
    """Estimated amount of work that would start."""

    hours: float | None
    """None: unknown."""
    unit: Literal["hours", "GPU-hours", "node-hours"] = "hours"
    limit: float = 0.0
    """Above this amount the user is asked before it starts."""
    here: bool = True
    """This machine sees the same data as the machines that will compute."""


@dataclass(frozen=True)
class Draft:
    """One array that would be submitted, as shown to a person."""

    array: Array
    script: str
    """What the scheduler would receive."""
    nodes: int
    gpus: int
    """For all nodes together."""
    hours: float
    """Time limit after which the scheduler ends a job."""


@dataclass(frozen=True)
class Drafts:
    """Everything that would be submitted, as shown to a person."""

    to: str
    """The scheduler's name."""
    where: str
    """The partition or other part of it."""
    amount: Amount
    each: tuple[Draft, ...]


@dataclass(frozen=True)
class JobStates:
    """The states of jobs, as far as they are known."""

    states: Mapping[str, JobState] = field(default_factory=dict)
    """By stage id; a stage is left out if no job of it was ever submitted."""
    numbers: Mapping[str, str] = field(default_factory=dict)
    """Job by the array's name, for every name that the scheduler lists."""
    notes: tuple[str, ...] = ()
    """Schedulers that did not answer, in sentences for a person."""


@dataclass
class Tally:
    """How the stages of a plan ended."""

    finished: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Left to another process: stage -> who runs it; "" for stages that wait for such a stage."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    codes: set[int] = field(default_factory=set)
    """Exit codes of the errors that made stages fail."""
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """The exit code that all failures share; 1 if they differ, 0 if nothing failed."""
        if self.failed:
            return next(iter(self.codes)) if len(self.codes) == 1 else HarnessError.exit_code
        return HarnessError.exit_code if self.elsewhere else 0


class Jobs(Protocol):
    """Reports the states of a launcher's jobs on every call; remembers which jobs are over."""

    on_one_machine: bool = False
    """A job can be stopped only on the machine that runs it."""

    def query(self, runs: Path, handed: Handed) -> JobStates:
        """The states of the stages' jobs, all of this launcher."""

    def held(
        self, runs: Path, submissions: Sequence[Submission]
    ) -> tuple[list[tuple[Submission, str]], tuple[str, ...]]:
        """(submission, stage) of every job in these that may not be over, "" for a report's; and
        who did not answer, in sentences."""

    def unresponsive(self, nodes: Iterable[str]) -> frozenset[str]:
        """Those of the jobs' nodes that do not answer the scheduler."""
        del nodes
        return frozenset()

    def is_of(self, last: LastAttempt, made: Submission, job: JobState) -> bool:
        """Whether the attempt belongs to the job."""
        return last.of(made.on, job.job, made.cluster)

    def cannot_stop(self, made: Submission, job: JobState) -> str:
        """Why this user cannot stop their own job from here, in a sentence; "" if they can."""
        del made, job
        return ""

    def stop_command(self, job: str) -> str:
        """The command with which a person ends a job of this launcher."""

    def stop_effects(self, jobs: Sequence[str]) -> Iterator[str]:
        """The effects of stopping these jobs, in sentences for a person."""

    def stop(self, jobs: Sequence[str]) -> Iterator[str]:
        """Ask the jobs to stop; yields errors as sentences."""


class Work(Protocol):
    """Stages that were started and are watched."""

    def check(self) -> None:
        """Raise a HarnessError if a stage will not finish."""

    def warn(self) -> None:
        """Ask the (only) stage's processes to stop, as before preemption; they are then
        restarted."""

    def kill(self) -> None:
        """Send SIGKILL, without warning; the processes are then restarted."""

    def close(self) -> None:
        """End the processes or jobs that are left."""


class Testbed(Protocol):
    """Where stages run while the caller watches, warns or kills them."""

    words: str
    """Description for a person."""
    nodes: int
    processes: int
    """Number of processes of a stage that uses all of them."""
    cuda: bool

    def start(self, plan: Plan, site: Site, processes: int) -> Work:
        """Run the plan's stages, each with this number of processes, in the run root of `site`."""

    def call(self, work: str, words: Mapping[str, Any], site: Site, folder: Path) -> None:
        """Run the named work (see `job_file`) in all processes; it writes answer.json into
        `folder`. Returns when the file is there."""


class Launcher(Protocol):
    """A launcher opened for a site."""

    def computer(self) -> Computer | None:
        """The hardware that computes a stage; None if it is not known."""

    def ready(self) -> None:
        """Check that stages can run at all; called before anything starts.

        Raises:
            HarnessError: the machine has no such device.
        """
        return

    def testbed(self) -> Testbed:
        """The testbed for `certify`.

        Raises:
            HarnessError: the launcher has none.
        """
        raise HarnessError(
            "`certify` does not support this launcher; ask its author to add a testbed"
        )

    def scratch(self) -> tuple[Path, str] | None:
        """(folder of this machine outside the run root into which jobs copy data, prefix of the
        copies' names); None if jobs copy no data, or this machine cannot know the folder."""
        return None


class Attached(Launcher, Protocol):
    """Runs stages in the calling process."""

    def run(self, plan: Plan, reporter: Reporter, stopping: Callable[[], bool]) -> Tally:
        """Run the plan's stages that have to run, and wait for them; each after its parent.

        Raises:
            NoData, DiskError: no stage can continue.
            HarnessError: the device does not exist.
        """


class Detached(Launcher, Protocol):
    """Submits stages as jobs."""

    behind: bool = False
    """One of its jobs can wait for a job of an earlier submission."""

    def amount(self, plan: Plan) -> Amount:
        """An estimate of the work that the plan has to do."""

    def drafts(
        self, plan: Plan, jobs: Mapping[str, JobState], *, report: bool = False
    ) -> Drafts | None:
        """What `submit` would submit now; None if there is nothing to show."""
        del plan, jobs, report
        return None

    def owes_report(
        self, plan: Plan, submissions: Sequence[Submission], jobs: Mapping[str, JobState]
    ) -> bool:
        """Whether stages of the plan have jobs, but no report job waits for them."""
        del plan, submissions, jobs
        return False

    def adopt(
        self, runs: Path, submissions: Sequence[Submission], numbers: Mapping[str, str]
    ) -> list[str]:
        """Record the jobs of submitters that died before they could do so; returns the arrays'
        names.

        Args:
            numbers: by array name, the job that the scheduler lists under it.
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
        """Submit the plan's stages that have to run; the caller holds the run root's claim.

        Args:
            sets: the --set options that the plan was made with.
            jobs: by stage id, the states of jobs of earlier submissions.
            note: called with a message for each problem that need not stop the submission.
            again: the plan was made to run stale stages again.
            report: submit the report even if no stage is left to run.

        Raises:
            HarnessError: a job was refused, or could not be started.
            StoreError: the run root cannot be written.
        """
