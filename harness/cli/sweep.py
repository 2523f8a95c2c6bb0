"""`moco-harness sweep`: run a grid over a recipe's fields, and report it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import (
    Again,
    AtOnce,
    DataRoot,
    Device,
    DryRun,
    Launcher,
    Processes,
    RecipePath,
    Runs,
    Seeds,
    SitePath,
    Yes,
    known_launcher,
    machine,
    parse_seeds,
)

LONGEST = 1000
"""Characters of a command that is repeated for the user to copy."""

if TYPE_CHECKING:
    from harness.recipe.sweep import Sweep
    from harness.site import Site


def sweep(
    recipe: RecipePath,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE,...",
            help="Values of a field, e.g. optim.lr=0.01,0.03; several fields: every combination.",
        ),
    ] = None,
    seeds: Seeds = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the sweep (default: the recipe's and the fields').")
    ] = None,
    runs: Runs = None,
    data: DataRoot = None,
    site: SitePath = None,
    device: Device = None,
    processes: Processes = None,
    at_once: AtOnce = None,
    again: Again = False,
    on: Launcher = "auto",
    dry: DryRun = False,
    yes: Yes = False,
) -> None:
    """Run a recipe with every combination of some values, and report means and differences.

    The sweep becomes an ablation recipe in RUNS/sweeps/, which every other command takes.
    """
    from harness.app import sweeping
    from harness.cli import show
    from harness.cli.run import RunOptions, run_command

    where = machine(
        data=data, runs=runs, device=device, processes=processes, at_once=at_once, site=site
    )
    options = RunOptions(known_launcher(on), not yes, again, dry, None, swept=True)
    made = sweeping.draft(recipe, sets=sets or [], seeds=parse_seeds(seeds), name=name or "")
    if made.runs > sweeping.MANY and not yes and not _agreed(made, recipe, where):
        return
    if dry:
        with sweeping.unwritten(made, where) as path:
            code = run_command(path, [], where, options)
        raise typer.Exit(code)
    new = sweeping.write(made, where)
    show.line(f"sweep: {new.path}{', as before' if new.resumed else ''}")
    raise typer.Exit(run_command(new.path, [], where, options))


def _agreed(made: Sweep, recipe: Path, site: Site) -> bool:
    """Ask before a large sweep is planned; without a terminal, refuse it."""
    from harness import command
    from harness.app import sweeping
    from harness.cli import show
    from harness.errors import HarnessError

    hours = sweeping.hours(made, recipe, site)
    long = "an unknown time" if hours is None else f"about {show.duration(hours * 3600)}"
    what = f"{made.cells:,} cells, {made.runs:,} runs, {long} of work"
    if not sys.stdin.isatty():
        line = command.present(None, "--yes")
        shown = f": {line}" if len(line) < LONGEST else ""
        raise HarnessError(f"this sweep is {what}; add --yes to go on without a question{shown}")
    return typer.confirm(f"This sweep is {what}. Go on?")
