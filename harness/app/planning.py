"""Plan a recipe's stages, and check before the start whether they can run."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.annotation_check import damaged_annotations
from harness.app import confirmed
from harness.app.progress import Declined, Progress
from harness.app.public import public
from harness.app.training_images import too_few_images, training_size
from harness.data_check import lacking, lacking_later
from harness.data_roots import each
from harness.errors import DataError, HarnessError, NoData, StoreError
from harness.inputs import Inputs
from harness.launch.plan_with_jobs import plan_with_jobs
from harness.launch.protocol import Amount
from harness.launch.selected_launcher import AUTO, attached, chosen, opened
from harness.mask_check import damaged_masks
from harness.plan import Plan
from harness.preflight.recipe_file import of_recipe, of_scale
from harness.preflight.warned import Preflight
from harness.recipe.find import find
from harness.recipe.identity import spec
from harness.recipe.training import TrainedTask, unshareable_groups
from harness.site import Site, load_site
from harness.spec.libraries import missing_libraries
from harness.store import atomic, provenance

CHECK_S = 20.0
"""Seconds to check masks and annotations in one call, unless training begins in it."""
UNMEASURED_IMAGES = 2_000_000
"""Number of images that training may process without a question, if no similar stage was
measured."""


@public
def plan(
    recipe: Path | str,
    site: Site | None = None,
    *,
    sets: Sequence[str] = (),
    again: bool = False,
    added: Mapping[str, Sequence[int]] | None = None,
    on: str = AUTO,
    inputs: Inputs | None = None,
) -> Plan:
    """What the recipe would run, what of it is done, and about how long the rest takes.

    Args:
        recipe: a recipe or ablation recipe: a YAML file, or a name that `recipes list` shows.
        site: the machine; None: from the user's site file.
        sets: changes to fields, e.g. ["optim.epochs=2"].
        again: run stale stages again.
        added: seeds of cells besides those of the recipe.
        on: the launcher. auto: the site file's if it can be used, else this process.
        inputs: checks data and weights; None: a new one.

    Raises:
        HarnessError: the recipe or the run root cannot be accepted.
    """
    site = site or load_site()
    inputs = inputs or Inputs(site.data, site.runs)
    where = opened(chosen(on, site), site).computer()
    path = find(str(recipe))
    return plan_with_jobs(
        path, sets, site.runs, again=again, added=added, on=where, inputs=inputs
    ).plan


@public
def preflight(made: Plan, site: Site) -> Preflight:
    """Warnings of settings of the plan's recipe that cannot work.

    Args:
        made: what `plan` returned.
        site: the machine, whose data root says how many images there are.

    Raises:
        HarnessError: the data root cannot be read.
    """
    count = functools.cache(lambda data: training_size(site.data / data.folder, data))
    if made.scale is not None and made.expansion is not None:
        return of_scale(made.scale, made.expansion, made.path, count)
    return of_recipe(made.stages[0].recipe, count)


def refuse(plan: Plan, site: Site, *, here: bool, within_s: float = CHECK_S) -> None:
    """Raise a StoreError if a stage's folder is damaged, a HarnessError if a library of a task is
    not installed or the processes cannot share a task's batch, and NoData if a further task's data
    is missing, does not fit or has damaged masks or annotations: pre-training would be over by
    then. See also refuse_beyond_images.

    Args:
        here: the stages run on this machine. Jobs may see a data root that is not seen from here.
        within_s: seconds for masks, and for annotations, that were not checked before; the next
            call continues.
    """
    refused = [stage for stage in plan.stages if stage.action == "refuse"]
    if refused:
        raise StoreError(refused[0].why)
    if lacks := missing_libraries(stage.kind for stage in plan.todo):
        raise HarnessError("\n".join(lacks))
    if wrong := list(dict.fromkeys(_unshareable(plan))):
        raise HarnessError("\n".join(wrong))
    seen = here or any(root.is_dir() for root in each(site.data))
    if wrong := lacking_later((stage.recipe for stage in plan.todo if seen), site.data):
        raise NoData("\n".join(wrong))
    further = (stage.recipe.tasks.get(spec(stage.recipe, stage.name).under) for stage in plan.todo)
    tasks = [task for task in further if task is not None and seen]
    for damaged in (damaged_masks, damaged_annotations):
        if wrong := damaged(tasks, site.data, site.runs, within_s):
            raise NoData("\n".join(wrong))
    refuse_beyond_images(plan, site)


def refuse_as_run(plan: Plan, site: Site, on: str = AUTO) -> None:
    """Raise the error with which `run` would refuse to start the plan's stages, or end with the
    first of them: as `refuse`, and if they run on this machine, a HarnessError if the device is
    missing, NoData if data are that no run downloads, a StoreError if the run root cannot be
    written."""
    launcher = chosen(on, site)
    refuse(plan, site, here=launcher.attached)
    if plan.todo and launcher.attached:
        attached(launcher, site).ready()
        refuse_without_data(plan, site)
        _refuse_unwritable(site.runs)


def _refuse_unwritable(runs: Path) -> None:
    """Raise a StoreError if the run root can certainly not be written; nothing is created."""
    place = next((each for each in (runs, *runs.absolute().parents) if os.path.lexists(each)), runs)
    if not place.is_dir():
        number = errno.ENOTDIR
    elif not os.access(place, os.W_OK | os.X_OK):
        number = errno.EACCES
    else:
        return
    raise atomic.write_error(OSError(number, os.strerror(number)), place, "--runs")


def _unshareable(plan: Plan) -> Iterator[str]:
    """The fields of the batches that the processes cannot share, and why. A task would fail only
    when pre-training is over, and pre-training only in its job."""
    processes = plan.on.processes
    for stage in plan.todo:
        recipe, asked = stage.recipe, spec(stage.recipe, stage.name)
        task = recipe.tasks.get(asked.under)
        if isinstance(task, TrainedTask) and (why := task.unshareable(processes)):
            yield f"tasks.{asked.under}.batch: {why}"
        elif asked.parent is None and (
            why := unshareable_groups(recipe.optim.batch, recipe.model.bn_group, processes)
        ):
            yield f"optim.batch: {why}"


def refuse_beyond_images(plan: Plan, site: Site) -> None:
    """Raise a DataError if a field of a planned stage names more images than its folder has."""
    if beyond := too_few_images((stage.recipe for stage in plan.todo), site.data):
        raise DataError("\n".join(f"{plan.path}: {each}" for each in beyond))


def ask_long(made: Plan, site: Site, amount: Amount, progress: Progress, *, ask: bool) -> None:
    """Ask before work that takes long or may take long, once for the same plan.

    Args:
        ask: ask the user; False: the user has agreed already, which is noted.

    Raises:
        NoData: the required data is missing.
        Declined: the user refuses.
    """
    if amount.hours is not None:
        long = amount.hours > amount.limit
    else:
        long = made.images is None or made.images > UNMEASURED_IMAGES
    if not long or confirmed.is_confirmed(made, site, amount):
        return
    if ask:
        if amount.here:
            refuse_without_data(made, site)
        if not progress.confirm(made, amount):
            raise Declined("nothing was started")
    confirmed.note_confirmed(made, site, amount)


def refuse_without_data(made: Plan, site: Site) -> None:
    """Raise NoData if data that no run downloads is missing under the data root. This avoids a
    question about work that cannot start."""
    if wrong := lacking((stage.recipe for stage in made.todo), site.data):
        raise NoData("\n".join(wrong))


def writable(runs: Path) -> None:
    """Raise a StoreError unless the run root can be written."""
    try:
        runs.mkdir(parents=True, exist_ok=True)
        probe = runs / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise atomic.write_error(error, runs, "--runs") from error


def note_missing_commit(progress: Progress) -> None:
    """Note that the results will name no commit, if the checkout should have one."""
    if provenance.is_checkout() and (why := provenance.why_no_commit()):
        progress.note(f"results will not name a commit: {why}")
