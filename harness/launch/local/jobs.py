"""The states of background jobs, which are processes of the machine that started them."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.launch import last_attempt
from harness.launch.job_states import JobState
from harness.launch.last_attempt import LastAttempt
from harness.launch.protocol import Handed, Jobs, JobStates
from harness.launch.signals import terminate
from harness.plan import over
from harness.store import clock, operating_system
from harness.store.layout import StageFolder
from harness.store.operating_system import command_line
from harness.store.submission import Array, Submission, submitting, user

FAR_SILENCE_S = 900.0
"""A background job on another machine, or a hidden one, is taken for dead after so many seconds
without a write; it may take minutes from one stage to the next."""


class Processes(Jobs):
    """Finds the states of jobs by their processes."""

    on_one_machine = True

    def query(self, runs: Path, handed: Handed) -> JobStates:
        arrays = {array.name: (made, array) for made, array, _ in handed.values()}
        known = {name: state(runs, made, array) for name, (made, array) in arrays.items()}
        return JobStates({stage: known[array.name] for stage, (_, array, _) in handed.items()})

    def held(
        self, runs: Path, submissions: Sequence[Submission]
    ) -> tuple[list[tuple[Submission, str]], tuple[str, ...]]:
        found = [
            (made, stage)
            for made in submissions
            for array in made.arrays
            if not over(state(runs, made, array))
            for stage in array.stages
        ]
        return found, ()

    def is_of(self, last: LastAttempt, made: Submission, job: JobState) -> bool:
        same = last.of(made.on, job.job, made.cluster)  # a process's number, which is used again
        return same and last.host == made.host and last.began >= made.t

    def cannot_stop(self, made: Submission, job: JobState) -> str:
        why = _unseen(made, job.job)
        return why and f"its background job {job.job} {why}"

    def stop_command(self, job: str) -> str:
        return f"kill {job}"

    def stop_effects(self, jobs: Sequence[str]) -> Iterator[str]:
        for job in dict.fromkeys(jobs):
            yield f"the background job {job}, with all stages of its plan, will be stopped"

    def stop(self, jobs: Sequence[str]) -> Iterator[str]:
        for job in dict.fromkeys(jobs):
            if wrong := terminate(int(job)):
                yield wrong


def state(runs: Path, made: Submission, array: Array) -> JobState:
    """The state of a job of submitit's local executor: a process whose command line has the
    submission.

    A job on another machine, or a hidden one, counts as ended after silence: one of its stages
    should always be running.
    """
    job = array.job or ""
    if not job:
        alive = submitting(made)
        return JobState(job, "SUBMITTING" if alive else "GONE", live=alive)
    if why := _unseen(made, job):
        folders = (StageFolder(runs / stage) for stage in array.stages)
        heard = max([made.t, *(_heard(folder) for folder in folders)])
        if clock.now(runs) - heard > FAR_SILENCE_S:
            return JobState(job, "GONE")
        return JobState(job, "UNKNOWN", why)
    alive = job.isdecimal() and made.id.encode() in command_line(int(job))
    return JobState(job, "RUNNING" if alive else "GONE", "", made.host, alive)


def _unseen(made: Submission, job: str) -> str:
    """Why this process cannot see the submission's, in words; "" if it can."""
    if made.host != socket.gethostname():
        return f"is a process of {made.host}: call moco-harness there"
    ours, theirs = operating_system.boot(), str(made.submitter.get("boot", ""))
    if theirs != ours and theirs.partition(" ")[0] == ours.partition(" ")[0]:
        return "is a process of another container: call moco-harness there"
    if job.isdecimal() and operating_system.start_time(int(job)) == "":
        if made.user == user():
            return "cannot be looked for on this system"
        return f"belongs to {made.user}, whose processes are hidden from you"
    return ""


def _heard(folder: StageFolder) -> float:
    """Last write of a stage's newest attempt, in seconds since 1970; 0: never."""
    last = last_attempt.last_attempt(folder)
    return last.heard if last is not None else 0.0
