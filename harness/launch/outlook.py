"""A plan that knows of jobs: what is to be done that no cluster and no background job has yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.estimate import Computer, elsewhere
from harness.launch.queue import JobState, Queue, survey
from harness.plan import Plan, make_plan
from harness.site import Site
from harness.store import submission
from harness.store.submission import Submission


@dataclass(frozen=True)
class Outlook:
    """A plan, and what it was made from."""

    plan: Plan
    jobs: Mapping[str, JobState]
    """By stage id, what became of the newest job of each unfinished stage of the plan."""
    submissions: Sequence[Submission]
    numbers: Mapping[str, str]
    """By the name of an array, the job that SLURM knows under it."""
    notes: Sequence[str]
    """Who did not answer, in sentences."""

    def check(self) -> None:
        """Raise a HarnessError if a stage's job may be alive, and nobody can tell."""
        unsure = sum(job.state == "UNKNOWN" for job in self.jobs.values())
        if unsure:
            why = "; ".join(self.notes) or "its machine is another one"
            raise HarnessError(
                f"{unsure} stages were handed over before, and what became of them cannot be told "
                f"now: {why}. Nothing was submitted; try again later"
            )


def look(
    path: Path,
    sets: Sequence[str],
    runs: Path,
    *,
    again: bool = False,
    behind: bool = False,
    alone: bool = False,
    added: Mapping[str, Sequence[int]] | None = None,
    on: Computer | None = None,
) -> Outlook:
    """The plan of a recipe, with what SLURM says of the jobs that were submitted before.

    Args:
        again, behind, added, on: see make_plan.
        alone: nobody else is submitting now, because this process holds the claim.

    Raises:
        RecipeError, StoreError: as make_plan, and if the record of a submission is damaged.
    """
    plan = make_plan(path, sets, runs, again=again, added=added, on=on)
    submissions = submission.everything(runs)
    open_ = {stage.id for stage in plan.stages if not stage.entry.done}
    if not open_ & submission.newest(submissions).keys():
        return Outlook(plan, {}, submissions, {}, ())
    jobs, answer = survey(runs, submissions, open_, Queue())
    if alone:
        jobs = {stage: job for stage, job in jobs.items() if job.state != "SUBMITTING"}
    plan = make_plan(path, sets, runs, again=again, jobs=jobs, behind=behind, added=added, on=on)
    return Outlook(plan, jobs, submissions, answer.numbers, answer.notes)


def cluster(site: Site) -> Computer | None:
    """What computes a stage on the site's cluster; None where there is none."""
    if site.slurm is None:
        return None
    processes = site.slurm.nodes * site.slurm.processes
    return elsewhere(site.runs, processes, gpus=site.slurm.gpus_per_node > 0)
