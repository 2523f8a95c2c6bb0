"""A plan that knows submitted jobs: it runs only stages that no cluster or background job has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.estimate import Computer
from harness.launch.job_states import JobState
from harness.launch.newest_jobs import Schedulers, newest_jobs
from harness.plan import Plan, make_plan
from harness.store import submission
from harness.store.stale import CheckInput
from harness.store.submission import Submission


@dataclass(frozen=True)
class PlanWithJobs:
    """A plan, and the job states it was made from."""

    plan: Plan
    jobs: Mapping[str, JobState]
    """By stage id, the state of the newest job of each unfinished stage of the plan, and the live
    jobs of those that are to be run again."""
    submissions: Sequence[Submission]
    numbers: Mapping[str, str]
    """By an array's name, the job that the scheduler lists under it."""
    notes: Sequence[str]
    """Schedulers that did not answer, in sentences."""

    def check(self) -> None:
        """Raise a HarnessError if a stage's job may be alive and this cannot be checked."""
        unsure = {stage: job for stage, job in self.jobs.items() if job.state == "UNKNOWN"}
        if not unsure:
            return
        unanswered = next(((stage, job) for stage, job in unsure.items() if job.reason), None)
        why, then = "; ".join(self.notes), "try again later"
        if unanswered is not None:
            stage, job = unanswered
            made, _, _ = submission.newest(self.submissions)[stage]
            why = f"job {job.job} {job.reason}"
            then += f"; or, if you know that its jobs have ended, move {made.id}.json away"
            then += f" (written by {made.user}, in submissions/ of the run root)"
        raise HarnessError(
            f"{len(unsure)} stages were submitted earlier, and the state of their jobs is "
            f"unknown: {why or 'the scheduler does not answer'}. Nothing was submitted; {then}"
        )


def plan_with_jobs(
    path: Path,
    sets: Sequence[str],
    runs: Path,
    *,
    again: bool = False,
    behind: str = "",
    alone: bool = False,
    added: Mapping[str, Sequence[int]] | None = None,
    on: Computer | None = None,
    inputs: CheckInput | None = None,
) -> PlanWithJobs:
    """The plan of a recipe, with the states of earlier jobs.

    Args:
        again, behind, added, on, inputs: see make_plan.
        alone: no other process is submitting now, because this one holds the claim.

    Raises:
        RecipeError, StoreError: as make_plan, and if the record of a submission is damaged.
    """
    plan = make_plan(path, sets, runs, again=again, added=added, on=on, inputs=inputs)
    submissions = submission.everything(runs)
    open_ = {s.id for s in plan.stages if not s.entry.done or s.action == "again"}
    if not open_ & submission.newest(submissions).keys():
        return PlanWithJobs(plan, {}, submissions, {}, ())
    answer = newest_jobs(runs, submissions, open_, Schedulers())
    done = {stage.id for stage in plan.stages if stage.entry.done}
    jobs = {id_: job for id_, job in answer.states.items() if job.live or id_ not in done}
    if alone:
        jobs = {stage: job for stage, job in jobs.items() if job.state != "SUBMITTING"}
    plan = make_plan(
        path,
        sets,
        runs,
        again=again,
        jobs=jobs,
        behind=behind,
        added=added,
        on=on,
        inputs=inputs,
    )
    return PlanWithJobs(plan, jobs, submissions, answer.numbers, answer.notes)
