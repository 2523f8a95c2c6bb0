"""The state of each stage's newest job, for all launchers.

A job that the scheduler shows is in the shown state. A job that it does not show may still be
alive: it may be on another cluster, or another user's and hidden, or accounting may lag behind. The
plan then leaves its stage alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.launch.job_states import JobState
from harness.launch.protocol import Handed, Jobs, JobStates
from harness.spec.named_code import call, guarded
from harness.spec.registry import launchers
from harness.store.submission import Submission, newest


class Schedulers:
    """The `Jobs` of each launcher, made on first use and then kept."""

    def __init__(self) -> None:
        self._jobs: dict[str, Jobs] = {}

    def of(self, on: str) -> Jobs:
        """The `Jobs` of the launcher with that name."""
        if on not in self._jobs:
            dotted = _dotted(on)
            self._jobs[on] = call(dotted) if dotted else _NotInstalled(on)
        return self._jobs[on]

    def held(
        self, runs: Path, submissions: Sequence[Submission]
    ) -> tuple[list[tuple[Submission, str]], tuple[str, ...]]:
        """`Jobs.held` for submissions to any launcher."""
        found: list[tuple[Submission, str]] = []
        notes: list[str] = []
        for on in dict.fromkeys(made.on for made in submissions):
            theirs = [made for made in submissions if made.on == on]
            held, said = guarded(_dotted(on), self.of(on).held, runs, theirs)
            found += held
            notes += said
        return found, tuple(notes)


def newest_jobs(
    runs: Path, submissions: Sequence[Submission], wanted: Collection[str], schedulers: Schedulers
) -> JobStates:
    """The state of the newest job of each stage in `wanted`.

    A stage is left out if no job of it was ever submitted: its submitter died before.
    """
    found = {s: place for s, place in newest(submissions).items() if s in wanted}
    whole = JobStates()
    for on in dict.fromkeys(made.on for made, _, _ in found.values()):
        theirs = {s: place for s, place in found.items() if place[0].on == on}
        answer: JobStates = guarded(_dotted(on), schedulers.of(on).query, runs, theirs)
        states = {
            stage: replace(state, on=on, cluster=found[stage][0].cluster)
            for stage, state in answer.states.items()
        }
        whole = JobStates(
            {**whole.states, **states},
            {**whole.numbers, **answer.numbers},
            (*whole.notes, *answer.notes),
        )
    return whole


def _dotted(on: str) -> str:
    """The name of the launcher's Jobs in its declaration; "" if it is not installed."""
    declared = launchers().get(on)
    return (declared.jobs or "") if declared is not None else ""


class _NotInstalled(Jobs):
    """Jobs of a launcher that is not installed here: they may be alive."""

    def __init__(self, on: str) -> None:
        self._on = on

    def query(self, runs: Path, handed: Handed) -> JobStates:
        del runs
        why = f"needs the launcher {self._on}, which is not installed here"
        return JobStates(
            {s: JobState(a.element(n) or "", "UNKNOWN", why) for s, (_, a, n) in handed.items()}
        )

    def held(
        self, runs: Path, submissions: Sequence[Submission]
    ) -> tuple[list[tuple[Submission, str]], tuple[str, ...]]:
        del runs
        why = f"the launcher {self._on} is not installed here"
        return [(made, stage) for made in submissions for stage in (*made.stages, "")], (why,)

    def cannot_stop(self, made: Submission, job: JobState) -> str:
        del made
        return f"job {job.job} needs the launcher {self._on}, which is not installed here"

    def stop_command(self, job: str) -> str:
        return f"its launcher {self._on} (for job {job})"

    def stop_effects(self, jobs: Sequence[str]) -> Iterator[str]:
        del jobs
        yield from ()

    def stop(self, jobs: Sequence[str]) -> Iterator[str]:
        del jobs
        yield from ()
