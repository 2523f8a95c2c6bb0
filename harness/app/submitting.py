"""Hand what is missing of a recipe to SLURM, or to the background of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from harness.app import planning
from harness.app.progress import Amount, Progress
from harness.app.reporting import write_at_end
from harness.app.results import Submitted
from harness.errors import HarnessError
from harness.inputs import Inputs
from harness.launch.outlook import Outlook, look
from harness.launch.queue import JobState
from harness.plan import Plan
from harness.recipe.find import find
from harness.site import Site, SlurmSite, load_site
from harness.store import submission
from harness.store.submission import Submission


def submit(
    recipe: Path | str,
    site: Site | None = None,
    *,
    on: Literal["slurm", "local"] = "slurm",
    sets: Sequence[str] = (),
    again: bool = False,
    ask: bool = False,
    dry: bool = False,
    progress: Progress | None = None,
) -> Submitted:
    """Submit what is missing of the recipe, and return; its report comes last.

    Args:
        recipe, site, sets, again: see `plan`.
        on: slurm: jobs; local: one process in the background of this machine.
        ask: ask `progress.confirm` before long work.
        dry: submit nothing, only tell what would be.
        progress: hears what goes on.

    Raises:
        Declined: the user does not want so much work to begin.
        HarnessError: the recipe, the site or SLURM do not allow it.
    """
    site, progress = site or load_site(), progress or Progress()
    path = find(str(recipe))
    way = _to_background if on == "local" else _to_slurm
    made = way(path, sets, site, progress, ask=ask, again=again, dry=dry)
    progress.submitted(made)
    return made


def _to_slurm(
    path: Path,
    sets: Sequence[str],
    site: Site,
    progress: Progress,
    *,
    ask: bool,
    again: bool,
    dry: bool,
) -> Submitted:
    if not dry and shutil.which("sbatch") is None:
        raise HarnessError("there is no sbatch on PATH: this is no machine of a SLURM cluster")
    from harness.launch import slurm

    inputs = Inputs(site.data, site.runs)
    on = planning.computes(site, "slurm")
    found = look(path, sets, site.runs, again=again, behind=True, on=on, inputs=inputs)
    progress.planned(found.plan, inputs.unfinished)
    planning.refuse(found.plan)
    only_report = _only_report(found)
    if not found.plan.todo and not only_report:
        if found.notes:  # SLURM does not answer: what has a job may be over
            found.check()
        return _nothing(found.plan, site, progress, "slurm")
    scripts = tuple(slurm.scripts(found.plan, site, found.jobs, report=only_report))
    progress.arrays(found.plan, [array for array, _ in scripts])
    if dry:
        return Submitted(found.plan, "slurm", "dry", scripts=scripts)
    found.check()
    if ask:
        _ask(found.plan, site, progress)
    planning.writable(site.runs)
    planning.tell_no_commit(progress)
    with submission.claim(site.runs, progress.say):
        made = _submit(path, sets, site, progress, again=again)
    return Submitted(found.plan, "slurm", "submitted" if made else "meanwhile", made, scripts)


def _only_report(found: Outlook) -> bool:
    """Whether no stage is left to do, but the report has no job yet."""
    from harness.launch import slurm

    return not found.plan.todo and slurm.owes_report(found.plan, found.submissions, found.jobs)


def _submit(
    path: Path, sets: Sequence[str], site: Site, progress: Progress, *, again: bool
) -> Submission | None:
    """Plan anew now that nobody else submits, and submit; None if nothing was left to."""
    from harness.launch import slurm

    inputs = Inputs(site.data, site.runs)
    found = look(path, sets, site.runs, again=again, behind=True, alone=True, inputs=inputs)
    adopted = slurm.adopt(site.runs, found.submissions, found.numbers)
    if adopted:
        progress.say(f"{len(adopted)} arrays of a submitter that died were found by name")
    found.check()
    planning.refuse(found.plan)
    only_report = _only_report(found)
    if not found.plan.todo and not only_report:
        return None
    return hand_over(found.plan, site, sets, found.jobs, progress, report=only_report)


def hand_over(
    plan: Plan,
    site: Site,
    sets: Sequence[str] = (),
    jobs: Mapping[str, JobState] | None = None,
    progress: Progress | None = None,
    *,
    report: bool = False,
) -> Submission:
    """Submit to SLURM what this very plan has to do; the caller holds the run root's claim.

    Args:
        sets: the --set options that the plan was made with.
        jobs: by stage id, what became of earlier submissions; None: there are none.
        progress: hears what goes on.
        report: also where no stage is left to do.

    Raises:
        HarnessError: SLURM refused it, or does not answer.
        StoreError: the run root cannot be written.
    """
    from harness.launch import slurm
    from harness.launch.bury import bury

    jobs, progress = jobs or {}, progress or Progress()
    bury(site.runs, jobs, progress.say)
    return slurm.submit(plan, site, sets, jobs, progress.say, report=report)


def _to_background(
    path: Path,
    sets: Sequence[str],
    site: Site,
    progress: Progress,
    *,
    ask: bool,
    again: bool,
    dry: bool,
) -> Submitted:
    from harness.launch import local

    inputs = Inputs(site.data, site.runs)
    on = planning.computes(site, "local")
    found = look(path, sets, site.runs, again=again, on=on, inputs=inputs)
    progress.planned(found.plan, inputs.unfinished)
    planning.refuse(found.plan)
    if not found.plan.todo:
        return _nothing(found.plan, site, progress, "local")
    if dry:
        return Submitted(found.plan, "local", "dry")
    found.check()
    if ask:
        planning.ask_long(found.plan, site, progress)
    planning.writable(site.runs)
    planning.tell_no_commit(progress)
    with submission.claim(site.runs, progress.say):
        found = look(path, sets, site.runs, again=again, alone=True, inputs=inputs)
        found.check()
        planning.refuse(found.plan)
        if not found.plan.todo:
            return Submitted(found.plan, "local", "meanwhile")
        made = local.submit(found.plan, site, sets, again=again)
    return Submitted(found.plan, "local", "submitted", made)


def _nothing(
    plan: Plan, site: Site, progress: Progress, on: Literal["slurm", "local"]
) -> Submitted:
    if any(stage.action == "busy" for stage in plan.stages):
        return Submitted(plan, on, "busy")
    progress.nothing_to_do(plan)
    return Submitted(plan, on, "finished", report=write_at_end(plan, site, progress))


def amount(plan: Plan, own: SlurmSite) -> Amount:
    """Hours of GPUs (of nodes, where there are none) by what was measured in this run root, else by
    what the recipes state."""
    unit: Literal["GPU-hours", "node-hours"] = "GPU-hours" if own.gpus_per_node else "node-hours"
    if plan.seconds is not None:
        return Amount(plan.seconds / 3600 * own.nodes * max(1, own.gpus_per_node), unit)
    return Amount(plan.stated_gpu_hours, unit)


def _ask(plan: Plan, site: Site, progress: Progress) -> None:
    own = site.slurm
    assert own is not None
    about = amount(plan, own)
    if about.hours is not None:
        if about.hours > own.ask_above_gpu_hours:
            planning.confirm(plan, about, progress)
    elif plan.images is None or plan.images > planning.UNMEASURED_IMAGES:
        planning.confirm(plan, about, progress)
