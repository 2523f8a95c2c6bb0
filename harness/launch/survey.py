"""What became of the newest job of each stage, as far as can be told from this machine.

SLURM's word counts for what it shows. That it does not show a job says little: it may be another
cluster's, or another user's and hidden, or accounting may lag behind. Such a job may be alive, and
whoever plans leaves its stage alone.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.launch import lives
from harness.launch.decide import NEVER
from harness.launch.queue import Answer, JobState, Queue
from harness.plan import ended
from harness.store.layout import StageFolder, stage_folder
from harness.store.submission import Array, Submission, newest, submitting, user

GRACE_S = 60.0
"""A job that SLURM no longer knows is lost so many seconds after the last that was heard of it:
accounting lags behind by some, and a submission is some seconds old before all of it is known."""
FAR_SILENCE_S = 900.0
"""A background job on another machine is taken for dead after so long without a word; it may take
minutes from one stage to the next."""


def survey(
    runs: Path, submissions: Sequence[Submission], wanted: Collection[str], queue: Queue
) -> tuple[dict[str, JobState], Answer]:
    """By stage id, what became of the newest job of each stage in `wanted`, and SLURM's answer.

    A stage is left out if no job of it was ever submitted: its submitter died before.
    """
    found = {s: place for s, place in newest(submissions).items() if s in wanted}
    arrays: dict[str, Array] = {}
    since = time.time()
    several = len({made.cluster for made, _, _ in found.values() if made.on == "slurm"}) > 1
    for submission, array, _ in found.values():
        if submission.on != "slurm" or (several and elsewhere(submission, queue)):
            continue  # two clusters may have given the same number
        arrays[array.name] = array
        since = min(since, submission.t)
    answer = queue.ask(arrays.values(), since)
    states: dict[str, JobState] = {}
    local: dict[str, JobState] = {}
    for stage, (submission, array, index) in found.items():
        if submission.on != "slurm":
            if array.name not in local:
                local[array.name] = _background(runs, submission, array)
            states[stage] = local[array.name]
            continue
        known = replace(array, job=answer.numbers.get(array.name, array.job))
        element = known.element(index)
        if array.name in arrays:
            state = _of_slurm(submission, element, answer)
        else:
            state = JobState(element or "", "GONE")
        if state is None or state.state == "GONE":
            state = _not_shown(runs, stage, submission, state, queue)
        if state is not None:
            states[stage] = replace(state, cluster=submission.cluster)
    _give_up(found, states)
    return states, answer


def _give_up(
    found: Mapping[str, tuple[Submission, Array, int]], states: dict[str, JobState]
) -> None:
    """Change the states of jobs that wait for one that has ended without success.

    SLURM ends them too (--kill-on-invalid-dep), some time after; whoever plans in between would
    take them for jobs that are still to run.
    """
    ends = {(state.cluster, state.job): state for state in states.values()}
    for stage, (submission, array, index) in found.items():
        state = states.get(stage)
        if state is None or state.state != "PENDING" or submission.on != "slurm":
            continue
        if state.late:  # it may have been released, and have begun
            continue
        if not state.reason.startswith("Dependency"):  # somebody has released it
            continue
        behind = [submission.arrays[n].element(index) for n in array.after]
        several = len(array.stages) > 1
        behind += [f"{job}_{index}" if several and "_" not in job else job for job in array.waits]
        above = [ends.get((state.cluster, job)) for job in behind if job]
        if any(one and ended(one) and one.state != "COMPLETED" for one in above):
            states[stage] = replace(state, state="CANCELLED", reason=NEVER, live=False)


def _of_slurm(submission: Submission, element: str | None, answer: Answer) -> JobState | None:
    """What SLURM says of a stage's job; None if it knows no job of the submission's name."""
    if element is not None:
        return answer.jobs.get(element, JobState(element, "UNKNOWN"))
    if submitting(submission):
        return JobState("", "SUBMITTING", f"by {submission.user}", live=True)
    return None if answer.controller else JobState("", "UNKNOWN")


def _not_shown(
    runs: Path, stage: str, submission: Submission, state: JobState | None, queue: Queue
) -> JobState | None:
    """The state of a job that SLURM does not show: as it was, or unknown.

    Args:
        state: GONE; None if it never had a number.
    """
    job = state.job if state is not None else ""
    life = lives.newest(stage_folder(runs, stage))
    own = life if life is not None and life.of(job, submission.cluster) else None
    if own is not None and own.ended == "failed":
        return state  # it has told that itself
    if elsewhere(submission, queue):
        return JobState(job, "UNKNOWN", f"is on cluster {submission.cluster}, to be asked there")
    if queue.cluster.hides_others and submission.user != user():
        return JobState(job, "UNKNOWN", f"is {submission.user}'s, and SLURM shows it to them alone")
    heard = max(submission.t, life.heard if life is not None else 0.0)
    lags = time.time() - heard < GRACE_S and (own is None or not own.ended)
    return replace(state, state="UNKNOWN", reason=LEFT) if state is not None and lags else state


LEFT = "has left the queue; how it ended is not known yet"


def elsewhere(submission: Submission, queue: Queue) -> bool:
    """Whether its jobs are another cluster's than the one that answers here."""
    return submission.cluster not in ("", queue.cluster.name)


def _background(runs: Path, submission: Submission, array: Array) -> JobState:
    """A job of submitit's local executor: a process whose command line names the submission.

    Of another machine's, silence tells: one of its stages is always being run.
    """
    job = array.job or ""
    if not job:
        alive = submitting(submission)
        return JobState(job, "SUBMITTING" if alive else "GONE", live=alive)
    if submission.host != socket.gethostname():
        folders = (StageFolder(runs / stage) for stage in array.stages)
        heard = max([submission.t, *(_heard(folder) for folder in folders)])
        if time.time() - heard > FAR_SILENCE_S:
            return JobState(job, "GONE")
        return JobState(job, "UNKNOWN", f"is a process of {submission.host}, to be asked there")
    try:
        words = Path(f"/proc/{job}/cmdline").read_bytes()
    except OSError:
        words = b""
    alive = submission.id.encode() in words
    return JobState(job, "RUNNING" if alive else "GONE", "", submission.host, alive)


def _heard(folder: StageFolder) -> float:
    """When the newest attempt of a stage last said anything, in seconds since 1970; 0: never."""
    life = lives.newest(folder)
    return life.heard if life is not None else 0.0
