"""Submit what is missing of a recipe to a launcher with detached jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.app import planning
from harness.app.progress import Progress
from harness.app.public import public
from harness.app.reporting import write_at_end
from harness.app.results import Submitted
from harness.errors import HarnessError
from harness.inputs import Inputs
from harness.launch.dead_attempts import close_dead_attempts
from harness.launch.plan_with_jobs import PlanWithJobs, plan_with_jobs
from harness.launch.protocol import Detached
from harness.launch.selected_launcher import AUTO, chosen, detached, unusable
from harness.plan import Plan
from harness.recipe.find import find
from harness.site import Site, load_site
from harness.spec.registry import launchers
from harness.store import submission


@public
def submit(
    recipe: Path | str,
    site: Site | None = None,
    *,
    on: str = AUTO,
    sets: Sequence[str] = (),
    again: bool = False,
    ask: bool = False,
    dry: bool = False,
    progress: Progress | None = None,
) -> Submitted:
    """Submit what is missing of the recipe, and return. The last job writes the report.

    Args:
        recipe, site, sets, again: see `plan`.
        on: the launcher; auto: that of the site file.
        ask: ask `progress.confirm` before long work.
        dry: submit nothing, only show what would be submitted.
        progress: is called as the work proceeds.

    Raises:
        Declined: the user refused to start long work.
        HarnessError: the recipe, the site or the launcher do not allow it.
    """
    site, progress = site or load_site(), progress or Progress()
    path = find(str(recipe))
    if on == AUTO and site.backend is not None:
        on = site.backend.kind
    declared = chosen(on, site)
    if declared.attached:
        known = ", ".join(kind for kind, each in launchers().items() if not each.attached)
        raise HarnessError(f"{declared.title} does not take submissions; use one of {known}")
    if not dry and (why := unusable(declared)):
        raise HarnessError(why)
    launcher = detached(declared, site)
    kind = declared.kind
    made = _submit(path, sets, site, launcher, kind, progress, again=again, ask=ask, dry=dry)
    progress.submitted(made)
    return made


def _submit(
    path: Path,
    sets: Sequence[str],
    site: Site,
    launcher: Detached,
    on: str,
    progress: Progress,
    *,
    again: bool,
    ask: bool,
    dry: bool,
) -> Submitted:
    inputs = Inputs(site.data, site.runs)
    computer = launcher.computer()
    behind = on if launcher.behind else ""
    found = plan_with_jobs(
        path, sets, site.runs, again=again, behind=behind, on=computer, inputs=inputs
    )
    progress.planned(found.plan, inputs.unfinished)
    if found.plan.todo:
        progress.warned(planning.preflight(found.plan, site))
    planning.refuse(found.plan, site, here=False)
    only_report = _only_report(found, launcher)
    if not found.plan.todo and not only_report:
        if found.notes and launcher.behind:  # no answer: a recorded job may be over
            found.check()
        return _nothing(found.plan, site, progress, on)
    drafts = launcher.drafts(found.plan, found.jobs, report=only_report)
    scripts = tuple((draft.array, draft.script) for draft in drafts.each) if drafts else ()
    if drafts is not None:
        progress.drafts(found.plan, drafts)
    if dry:
        return Submitted(found.plan, on, "dry", scripts=scripts)
    found.check()
    launcher.ready()
    planning.ask_long(found.plan, site, launcher.amount(found.plan), progress, ask=ask)
    planning.writable(site.runs)
    planning.note_missing_commit(progress)
    with submission.claim(site.runs, progress.say):  # plan again: nobody else submits now
        inputs = Inputs(site.data, site.runs)
        found = plan_with_jobs(
            path, sets, site.runs, again=again, behind=behind, alone=True, inputs=inputs
        )
        if adopted := launcher.adopt(site.runs, found.submissions, found.numbers):
            progress.say(
                f"{len(adopted)} job arrays of an interrupted submission were found by name"
            )
        found.check()
        planning.refuse(found.plan, site, here=False)
        only_report = _only_report(found, launcher)
        if not found.plan.todo and not only_report:
            return Submitted(found.plan, on, "meanwhile", scripts=scripts)
        close_dead_attempts(site.runs, found.jobs, progress.say)
        made = launcher.submit(
            found.plan, sets, found.jobs, progress.say, again=again, report=only_report
        )
    return Submitted(found.plan, on, "submitted", made, scripts)


def _only_report(found: PlanWithJobs, launcher: Detached) -> bool:
    """Whether all stages are done or submitted, but the report has no job yet."""
    return not found.plan.todo and launcher.owes_report(found.plan, found.submissions, found.jobs)


def _nothing(plan: Plan, site: Site, progress: Progress, on: str) -> Submitted:
    if any(stage.action == "busy" for stage in plan.stages):
        return Submitted(plan, on, "busy")
    progress.nothing_to_do(plan)
    return Submitted(plan, on, "finished", report=write_at_end(plan, site, progress))
