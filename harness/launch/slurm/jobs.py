"""The states of SLURM jobs, and how to stop them.

A job that SLURM does not show may still be alive: see `harness.launch.newest_jobs`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.launch import last_attempt
from harness.launch.job_states import JobState
from harness.launch.protocol import Handed, Jobs, JobStates
from harness.launch.slurm import clients, queue
from harness.launch.slurm.queue import Queue
from harness.launch.status_rules import NEVER
from harness.plan import ended, over
from harness.store.layout import stage_folder
from harness.store.operating_system import login_name
from harness.store.submission import Array, Submission, submitting, user

GRACE_S = 60.0
"""A job that SLURM does not list counts as lost so many seconds after its last known event:
accounting lags behind, and a new submission is not fully visible at once."""
LEFT = "has left the queue; its final state is not known yet"


class Cluster(Jobs):
    """Job states from the SLURM clients of this machine."""

    def __init__(self) -> None:
        self._queue = Queue()

    def query(self, runs: Path, handed: Handed) -> JobStates:
        arrays: dict[str, Array] = {}
        since = time.time()
        several = len({made.cluster for made, _, _ in handed.values()}) > 1
        for made, array, _ in handed.values():
            if several and self._elsewhere(made):
                continue  # two clusters may use the same number
            arrays[array.name] = array
            since = min(since, made.t)
        answer = self._queue.ask(arrays.values(), since)
        states: dict[str, JobState] = {}
        for stage, (made, array, index) in handed.items():
            known = replace(array, job=answer.numbers.get(array.name, array.job))
            element = known.element(index)
            if array.name in arrays:
                state = _state(made, element, answer)
            else:
                state = JobState(element or "", "GONE")
            if state is None or state.state == "GONE":
                state = self._not_shown(runs, stage, made, state)
            if state is not None:
                states[stage] = replace(state, cluster=made.cluster)
        _give_up(handed, states)
        return JobStates(states, answer.numbers, answer.notes)

    def held(
        self, runs: Path, submissions: Sequence[Submission]
    ) -> tuple[list[tuple[Submission, str]], tuple[str, ...]]:
        since = min((made.t for made in submissions), default=0.0)
        arrays = (array for made in submissions for array in made.arrays)
        answer = self._queue.ask(arrays, since)
        held: list[tuple[Submission, str]] = []
        for made in submissions:
            if self._elsewhere(made) or self._hidden(made):  # no answer proves nothing here
                undone = [s for s in made.stages if stage_folder(runs, s).result is None]
                held += [(made, stage) for stage in (*undone, "") if undone]
                continue
            for array in made.arrays:
                number = answer.numbers.get(array.name)
                if number is None:  # not submitted, or being submitted now
                    if submitting(made) or not answer.controller:
                        held += [(made, stage) for stage in (*array.stages, "")]
                    continue
                for stage, job in replace(array, job=number).elements() or [("", number)]:
                    if not over(answer.jobs.get(job, JobState(job, "UNKNOWN"))):
                        held.append((made, stage))
        return held, answer.notes

    def unresponsive(self, nodes: Iterable[str]) -> frozenset[str]:
        return queue.unresponsive(nodes)

    def cannot_stop(self, made: Submission, job: JobState) -> str:
        del made
        return f"job {job.job} {job.reason}" if not job.live and job.reason else ""

    def stop_command(self, job: str) -> str:
        return f"scancel {job}"

    def stop_effects(self, jobs: Sequence[str]) -> Iterator[str]:
        count = len(jobs)
        yield f"{count} {'job' if count == 1 else 'jobs'} of SLURM will be cancelled"

    def stop(self, jobs: Sequence[str]) -> Iterator[str]:
        for some in clients.portions(list(dict.fromkeys(jobs))):
            # limit to this user: root may cancel anybody's jobs
            said = clients.order("scancel", f"--user={login_name(os.getuid())}", *some)
            if said.silent:
                yield f"SLURM does not answer: {said.error}. Run cancel again later"
                return
            if said.error:
                yield f"SLURM did not cancel all: {said.error}"

    def _elsewhere(self, made: Submission) -> bool:
        """Whether its jobs are on another cluster than the one that answers here."""
        return made.cluster not in ("", self._queue.cluster.name)

    def _hidden(self, made: Submission) -> bool:
        """Whether its jobs are another user's and hidden from this one."""
        return self._queue.cluster.hides_others and made.user != user()

    def _not_shown(
        self, runs: Path, stage: str, made: Submission, state: JobState | None
    ) -> JobState | None:
        """The state of a job that SLURM does not show: unchanged, or unknown.

        Args:
            state: GONE; None if the job never had a number.
        """
        job = state.job if state is not None else ""
        last = last_attempt.last_attempt(stage_folder(runs, stage))
        own = last if last is not None and last.of(made.on, job, made.cluster) else None
        if own is not None and own.ended == "failed":
            return state  # the stage's own records say so
        if self._elsewhere(made):
            return JobState(
                job, "UNKNOWN", f"is on cluster {made.cluster}; call moco-harness there"
            )
        if self._hidden(made):
            why = f"belongs to {made.user}, and SLURM shows it only to them"
            return JobState(job, "UNKNOWN", why)
        heard = max(made.t, last.heard if last is not None else 0.0)
        lags = time.time() - heard < GRACE_S and (own is None or not own.ended)
        known = state is not None and lags
        return replace(state, state="UNKNOWN", reason=LEFT) if state and known else state


def _state(made: Submission, element: str | None, answer: queue.QueueAnswer) -> JobState | None:
    """SLURM's state for a stage's job; None if it has no job of the submission's name."""
    if element is not None:
        return answer.jobs.get(element, JobState(element, "UNKNOWN"))
    if submitting(made):
        return JobState("", "SUBMITTING", f"by {made.user}", live=True)
    return None if answer.controller else JobState("", "UNKNOWN")


def _give_up(
    found: Mapping[str, tuple[Submission, Array, int]], states: dict[str, JobState]
) -> None:
    """Change the states of jobs whose dependency has ended without success.

    SLURM ends them too (--kill-on-invalid-dep), but later; a plan made in between would take them
    for jobs that will still run.
    """
    ends = {(state.cluster, state.job): state for state in states.values()}
    for stage, (made, array, index) in found.items():
        state = states.get(stage)
        if state is None or state.state != "PENDING":
            continue
        if state.late:  # it may have been released and started
            continue
        if not state.reason.startswith("Dependency"):  # a user has released it
            continue
        behind = [made.arrays[n].element(index) for n in array.after]
        several = len(array.stages) > 1
        behind += [f"{job}_{index}" if several and "_" not in job else job for job in array.waits]
        above = [ends.get((state.cluster, job)) for job in behind if job]
        if any(one and ended(one) and one.state != "COMPLETED" for one in above):
            states[stage] = replace(state, state="CANCELLED", reason=NEVER, live=False)
