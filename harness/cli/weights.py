"""The commands of `moco-harness` about trained weights: take them elsewhere, evaluate them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import DataRoot, Device, Processes, Runs, Sets, SitePath, machine, path
from harness.export.formats import Format


def export(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Stage id or folder, recipe, or part of a run's name."),
    ],
    form: Annotated[Format, typer.Option("--format", help="Library or form of the files.")],
    to: Annotated[
        Path | None,
        typer.Option(help="New folder (default: one under RUNS/exports).", parser=path),
    ] = None,
    head: Annotated[bool, typer.Option("--head", help="Include the projection head.")] = False,
    key: Annotated[
        bool, typer.Option("--key", help="Export the key encoder instead of the query encoder.")
    ] = False,
    sets: Sets = None,
    runs: Runs = None,
    site: SitePath = None,
) -> None:
    """Write a trained network for another library, with a model card; nothing is overwritten."""
    from harness.cli.export import export_command

    where = machine(runs=runs, site=site)
    export_command(run, form, sets or [], where, to, head=head, key=key)


def evaluate(
    weights: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run, as for export, or a file of weights of this or another library.",
        ),
    ],
    on: Annotated[
        list[str],
        typer.Option(
            "--on", metavar="DATA", help="A data set's name, or a folder of images; repeatable."
        ),
    ],
    tasks: Annotated[
        str | None,
        typer.Option(metavar="KINDS", help="Such as knn,linear (the default); knn is always done."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the images in pixels (default: the run's own, or the file's)."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="RECIPE.yaml",
            help="The recipe to write (default: under RUNS/evaluations).",
            parser=path,
        ),
    ] = None,
    sets: Sets = None,
    runs: Runs = None,
    data: DataRoot = None,
    site: SitePath = None,
    device: Device = None,
    processes: Processes = None,
    again: Annotated[
        bool, typer.Option("--again", help="Run anew what is stale; old folders are kept aside.")
    ] = False,
    launcher: Annotated[
        str, typer.Option(metavar="LAUNCHER", help="As --on of run: here, local, auto ...")
    ] = "auto",
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Write the recipe and show the plan; run nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")] = False,
) -> None:
    """Evaluate a run's or a file's weights on any data: write a recipe, run it, report."""
    from harness.cli.evaluate import evaluate_command
    from harness.cli.run import RunOptions
    from harness.spec.registry import launchers
    from harness.track import feed

    where = machine(data=data, runs=runs, device=device, processes=processes, site=site)
    feed.check()  # report wrong tracker settings before anything runs
    if launcher not in (known := ("auto", *launchers())):
        why = f"{launcher!r} is not one of {', '.join(known)}"
        raise typer.BadParameter(why, param_hint="--launcher")
    kinds = [] if tasks is None else [each.strip() for each in tasks.split(",")]
    how = RunOptions(launcher, not yes, again, dry, None)
    raise typer.Exit(evaluate_command(weights, on, kinds, size, to, sets or [], where, how))
