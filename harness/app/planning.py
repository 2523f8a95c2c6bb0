"""What is to be done and where, and whether it may begin."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from harness.app.progress import Amount, Declined, Progress
from harness.errors import NoData, StoreError
from harness.estimate import Computer, computer
from harness.inputs import Inputs
from harness.launch.outlook import cluster, look
from harness.plan import Plan
from harness.presence import look_for
from harness.recipe.find import find
from harness.site import Site, load_site
from harness.store import atomic, provenance

Place = Literal["here", "local", "slurm"]
"""This process, the background of this machine, or SLURM's jobs."""

UNMEASURED_IMAGES = 2_000_000
"""Images to pass through that work begins with unasked where nothing alike was measured."""


def plan(
    recipe: Path | str,
    site: Site | None = None,
    *,
    sets: Sequence[str] = (),
    again: bool = False,
    added: Mapping[str, Sequence[int]] | None = None,
    on: str = "auto",
    inputs: Inputs | None = None,
) -> Plan:
    """What the recipe would run, what of it is done, and about how long the rest takes.

    Args:
        recipe: a recipe or ablation recipe: a YAML file, or a name that `recipes list` shows.
        site: the machine; None: as the user's site file says.
        sets: changes to fields, e.g. ["optim.epochs=2"].
        again: what is stale is to be run anew.
        added: seeds of cells besides those of the recipe.
        on: where it would run: here, local, slurm, or auto.
        inputs: looks at data and weights; None: a new one.

    Raises:
        HarnessError: the recipe or the run root cannot be accepted.
    """
    site = site or load_site()
    inputs = inputs or Inputs(site.data, site.runs)
    where = computes(site, place(on, site))
    path = find(str(recipe))
    return look(path, sets, site.runs, again=again, added=added, on=where, inputs=inputs).plan


def place(on: str, site: Site) -> Place:
    """Where `run --on ON` runs: auto is SLURM where the site file asks for jobs and there is an
    sbatch, else here."""
    match on:
        case "here" | "local" | "slurm":
            return on
        case _:
            return "slurm" if site.slurm and shutil.which("sbatch") else "here"


def computes(site: Site, where: Place) -> Computer | None:
    """What a stage is computed by; None where that is not known."""
    return cluster(site) if where == "slurm" else computer(site.device, site.processes)


def refuse(plan: Plan) -> None:
    """Raise a StoreError if a stage's folder is damaged."""
    refused = [stage for stage in plan.stages if stage.action == "refuse"]
    if refused:
        raise StoreError(refused[0].why)


def ask_long(made: Plan, site: Site, progress: Progress) -> None:
    """Ask before work that is long, or may be.

    Raises:
        NoData: the data that it needs is not there.
        Declined: it is not wanted.
    """
    if made.hours is not None:
        if made.hours > site.ask_above_hours:
            refuse_without_data(made, site)
            confirm(made, Amount(made.hours), progress)
    elif made.images is None or made.images > UNMEASURED_IMAGES:
        refuse_without_data(made, site)
        confirm(made, Amount(None), progress)


def confirm(plan: Plan, amount: Amount, progress: Progress) -> None:
    """Raise Declined unless the work shall begin."""
    if not progress.confirm(plan, amount):
        raise Declined("nothing was begun")


def refuse_without_data(made: Plan, site: Site) -> None:
    """Raise NoData if something that no run fetches is not under the data root: nobody should be
    asked to agree to work that cannot begin."""
    lacking = [
        found.says
        for found in look_for((s.recipe for s in made.todo), site.data)
        if not found.there and not found.comes
    ]
    if lacking:
        raise NoData("\n".join(lacking))


def writable(runs: Path) -> None:
    """Raise a StoreError unless the run root can be written."""
    try:
        runs.mkdir(parents=True, exist_ok=True)
        probe = runs / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise atomic.explain(error, runs, "--runs") from error


def tell_no_commit(progress: Progress) -> None:
    """Note that the results will name no commit, where there is a checkout that has one."""
    if provenance.is_checkout() and (why := provenance.why_no_commit()):
        progress.note(f"results will name no commit: {why}")
