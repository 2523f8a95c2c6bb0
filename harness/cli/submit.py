"""`moco-harness run` where the work goes elsewhere: to SLURM, or into the background here."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.table import Table

from harness.cli import show
from harness.cli.run import (
    UNMEASURED_IMAGES,
    confirm,
    refuse_without_data,
    report,
    tell_no_commit,
    writable,
)
from harness.command import Commands
from harness.errors import HarnessError, StoreError
from harness.estimate import computer
from harness.inputs import Inputs
from harness.launch.outlook import cluster, look
from harness.plan import Plan
from harness.site import Site, SlurmSite
from harness.store import submission
from harness.store.submission import Array, Submission

Place = Literal["here", "local", "slurm"]


def place(on: str, site: Site) -> Place:
    """Where `run --on ON` runs: auto is SLURM where the site file asks for jobs and there is an
    sbatch, else here."""
    match on:
        case "here" | "local" | "slurm":
            return on
        case _:
            return "slurm" if site.slurm and shutil.which("sbatch") else "here"


def slurm_command(
    path: Path, sets: Sequence[str], site: Site, *, ask: bool, again: bool, dry: bool
) -> int:
    """Submit what is missing of the recipe to SLURM and return; with `dry` only show how.

    Raises:
        HarnessError: the recipe, the site or SLURM do not allow it.
    """
    if not dry and shutil.which("sbatch") is None:
        raise HarnessError("there is no sbatch on PATH: this is no machine of a SLURM cluster")
    from harness.launch import slurm

    inputs = Inputs(site.data, site.runs)
    on = cluster(site)
    found = look(path, sets, site.runs, again=again, behind=True, on=on, inputs=inputs)
    show.plan(found.plan, site, inputs)
    _refuse(found.plan)
    only_report = not found.plan.todo and slurm.owes_report(
        found.plan, found.submissions, found.jobs
    )
    if not found.plan.todo and not only_report:
        if found.notes:  # SLURM does not answer: what has a job may be over
            found.check()
        return _nothing(found.plan, site)
    scripts = slurm.scripts(found.plan, site, found.jobs, report=only_report)
    assert site.slurm is not None
    _arrays(found.plan, site.slurm, [array for array, _ in scripts])
    if dry:
        for array, text in scripts:
            show.line(f"\n==> {array.name}\n{text}")
        return 0
    found.check()
    if ask:
        _ask(found.plan, site)
    writable(site.runs)
    tell_no_commit()
    with submission.claim(site.runs, show.line):
        made = _submit(path, sets, site, again=again)
    if made is None:
        show.line("nothing is left to submit: another process has done it meanwhile")
        return 0
    stages = sum(len(array.stages) for array in made.arrays)
    what = f"{stages} stages" if stages else "the report, which had no job yet,"
    show.line(f"submitted {what} in {len(made.arrays)} arrays and jobs as {made.id}")
    show.line(f"  logs: {submission.folder(site.runs, made.id)}")
    show.line(f"  watch them with: {Commands(site.runs, site.file).line('status', '--watch')}")
    return 0


def _submit(path: Path, sets: Sequence[str], site: Site, *, again: bool) -> Submission | None:
    """Plan anew now that nobody else submits, and submit; None if nothing was left to."""
    from harness.launch import slurm
    from harness.launch.bury import bury

    inputs = Inputs(site.data, site.runs)
    found = look(path, sets, site.runs, again=again, behind=True, alone=True, inputs=inputs)
    adopted = slurm.adopt(site.runs, found.submissions, found.numbers)
    if adopted:
        show.line(f"{len(adopted)} arrays of a submitter that died were found by name")
    found.check()
    _refuse(found.plan)
    only_report = not found.plan.todo and slurm.owes_report(
        found.plan, found.submissions, found.jobs
    )
    if not found.plan.todo and not only_report:
        return None
    bury(site.runs, found.jobs, show.line)
    return slurm.submit(found.plan, site, sets, found.jobs, show.line, report=only_report)


def local_command(
    path: Path, sets: Sequence[str], site: Site, *, ask: bool, again: bool, dry: bool
) -> int:
    """Run what is missing of the recipe in the background of this machine, and return.

    Raises:
        HarnessError: the recipe or the site do not allow it.
    """
    from harness.cli.run import ask_long
    from harness.launch import local

    on = computer(site.device, site.processes)
    inputs = Inputs(site.data, site.runs)
    found = look(path, sets, site.runs, again=again, on=on, inputs=inputs)
    show.plan(found.plan, site, inputs)
    _refuse(found.plan)
    if not found.plan.todo:
        return _nothing(found.plan, site)
    if dry:
        return 0
    found.check()
    if ask:
        ask_long(found.plan, site)
    writable(site.runs)
    tell_no_commit()
    with submission.claim(site.runs, show.line):
        found = look(path, sets, site.runs, again=again, alone=True, inputs=inputs)
        found.check()
        _refuse(found.plan)
        if not found.plan.todo:
            show.line("nothing is left to do: another process has begun it meanwhile")
            return 0
        made = local.submit(found.plan, site, sets, again=again)
    show.line(f"running {len(found.plan.todo)} stages in the background as {made.id}")
    show.line(f"  logs: {submission.folder(site.runs, made.id)}")
    show.line(f"  watch them with: {Commands(site.runs, site.file).line('status', '--watch')}")
    return 0


def _refuse(plan: Plan) -> None:
    refused = [stage for stage in plan.stages if stage.action == "refuse"]
    if refused:
        raise StoreError(refused[0].why)


def _nothing(plan: Plan, site: Site) -> int:
    busy = sum(stage.action == "busy" for stage in plan.stages)
    if busy:
        show.line(f"nothing to submit: {busy} stages are waiting or running already")
        return 0
    show.nothing_to_do(plan)
    return report(plan, site)


def _arrays(plan: Plan, own: SlurmSite, arrays: Sequence[Array]) -> None:
    """Print what goes to SLURM: jobs, what they wait for, nodes and GPUs, hours."""
    table = Table(box=None, pad_edge=False, header_style="bold", title="to SLURM")
    table.title_justify, table.title_style = "left", "bold"
    for heading in ("array", "jobs", "of", "after", "nodes", "GPUs", "at most"):
        table.add_column(heading, justify="right" if heading in ("array", "jobs") else "left")
    for n, array in enumerate(arrays):
        is_report = not array.stages
        after = "all" if is_report else ", ".join(map(str, [*array.after, *array.waits]))
        nodes = 1 if is_report else own.nodes
        table.add_row(
            str(n),
            str(len(array.stages) or 1),
            array.kind,
            after,
            str(nodes),
            str(0 if is_report else nodes * own.gpus_per_node),
            show.duration(3600 * getattr(own.hours, array.kind)),
        )
    show.console.print(table)
    where = f"partition {own.partition}" if own.partition else "the default partition"
    show.line(f"{where}; {_amount(plan, own)}")


def _amount(plan: Plan, own: SlurmSite) -> str:
    hours = gpu_hours(plan, own)
    unit = "GPU-hours" if own.gpus_per_node else "node-hours"
    if hours is None:
        return f"how many {unit} is not known: nothing like it was measured here yet"
    return f"about {hours:,.0f} {unit}" if hours >= 10 else f"about {hours:.2g} {unit}"


def gpu_hours(plan: Plan, own: SlurmSite) -> float | None:
    """Hours of GPUs (of nodes, where there are none) by what was measured in this run root, else by
    what the recipes state; None if neither is known."""
    if plan.seconds is not None:
        return plan.seconds / 3600 * own.nodes * max(1, own.gpus_per_node)
    return plan.stated_gpu_hours


def _ask(plan: Plan, site: Site) -> None:
    own = site.slurm
    assert own is not None
    hours = gpu_hours(plan, own)
    if hours is not None:
        if hours > own.ask_above_gpu_hours:
            _confirm(plan, site, _amount(plan, own))
    elif plan.images is None or plan.images > UNMEASURED_IMAGES:
        _confirm(plan, site, "an unknown amount")


def _confirm(plan: Plan, site: Site, about: str) -> None:
    if not sys.stdin.isatty():  # a person may know that the nodes see data which this machine lacks
        refuse_without_data(plan, site)
    confirm(about)
