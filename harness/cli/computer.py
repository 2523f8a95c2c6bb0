"""Commands about the computer: how fast it trains, does the site file fit, does it compute well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    DataRoot,
    Device,
    Processes,
    RecipePath,
    Runs,
    Sets,
    SitePath,
    machine,
    path,
)


def bench(
    recipe: RecipePath,
    sets: Sets = None,
    runs: Runs = None,
    data: DataRoot = None,
    site: SitePath = None,
    device: Device = None,
    processes: Processes = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; times are medians over rounds.")] = 7,
    steps: Annotated[int, typer.Option(min=1, help="Steps timed together in a round.")] = 10,
    noise: Annotated[
        bool, typer.Option("--noise", help="Use random pixels in memory instead of the data.")
    ] = False,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Also estimate the step on 8, 64 and 512 GPUs.")
    ] = False,
    bandwidth: Annotated[
        float, typer.Option(min=0.001, help="GB/s that a GPU sends between nodes (DGX H100: 50).")
    ] = 50,
    publish: Annotated[
        Path | None,
        typer.Option(help="Folder for the record, and for a page of all its records.", parser=path),
    ] = None,
    tasks: Annotated[
        bool, typer.Option("--tasks", help="Also time evaluations on all of the data.")
    ] = False,
    cell: Annotated[
        str | None,
        typer.Option(metavar="CELL", help="Cell of an ablation recipe (default: its first)."),
    ] = None,
) -> None:
    """Measure a recipe's training step, input and evaluation against their lower bounds."""
    from harness.cli.bench import BenchOptions, bench_command

    where = machine(data=data, runs=runs, device=device, processes=processes, site=site)
    options = BenchOptions(rounds, steps, noise, scaling, bandwidth, publish, tasks, cell)
    bench_command(recipe, sets or [], where, options)


def doctor(
    site: SitePath = None,
    runs: Runs = None,
    data: DataRoot = None,
    submit: Annotated[
        bool, typer.Option("--submit", help="Also submit a short job that checks its node.")
    ] = False,
) -> None:
    """Check whether the site file fits this machine and its cluster, and say what to change."""
    from harness.cli.doctor import doctor_command

    raise typer.Exit(doctor_command(site, runs, data, submit=submit))


def certify(
    site: SitePath = None,
    runs: Runs = None,
    data: DataRoot = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it starts.")] = False,
) -> None:
    """Test on your own nodes that this edition computes correctly there; reports show it."""
    from harness.cli.certify import certify_command

    raise typer.Exit(certify_command(machine(runs=runs, data=data, site=site), ask=not yes))
