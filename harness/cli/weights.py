"""The commands of `moco-harness` about trained weights: take them elsewhere, evaluate them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion
from harness.cli.options import (
    Again,
    DataRoot,
    Device,
    Processes,
    Runs,
    Sets,
    SitePath,
    machine,
    path,
)
from harness.export.formats import Format


def export(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Stage id or folder, recipe, or part of a run's name.",
            autocompletion=completion.runs_and_recipes,
        ),
    ],
    form: Annotated[Format, typer.Option("--format", help="Library to write the files for.")],
    to: Annotated[
        Path | None,
        typer.Option(help="New folder (default: one under RUNS/exports).", parser=path),
    ] = None,
    head: Annotated[bool, typer.Option("--head", help="Include the projection head.")] = False,
    key: Annotated[
        bool, typer.Option("--key", help="Export the key encoder instead of the query encoder.")
    ] = False,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Export the whole detector that this task of the recipe trained, or a trial of "
            "it: voc, voc=t1.",
        ),
    ] = None,
    sets: Sets = None,
    runs: Runs = None,
    site: SitePath = None,
) -> None:
    """Write a trained network for another library, with a model card; nothing is overwritten."""
    from harness.app import exporting
    from harness.cli import show

    where = machine(runs=runs, site=site)
    made = exporting.export(run, form, where, to=to, head=head, key=key, task=task, sets=sets or [])
    show.line(f"{made.stage} for {form.value}:")
    for file in made.files:
        show.line(f"  {file}")
    show.line(f"SHA-256 of {made.weights.name}: {made.sha256}")
    for note in made.notes:
        show.line(f"note: {note}")
    if not made.written:
        show.line("nothing was written: the folder has exactly these files already")
    else:
        show.line("README.md describes the files and how to load them")


def convert(
    weights: Annotated[
        Path, typer.Argument(metavar="FILE", help="detectron2's MSRA/R-50.pkl.", parser=path)
    ],
    to: Annotated[Path, typer.Option(help="New file, e.g. weights/msra.safetensors.", parser=path)],
) -> None:
    """Convert MSRA's ResNet-50 for a recipe of detection; no code of the file is run."""
    from harness.app import converting
    from harness.cli import show

    made = converting.convert(weights, to)
    again = "" if made.written else " (there already)"
    file = json.dumps(str(made.file.absolute()))
    show.line(f"{made.file}{again}, for a recipe of detection:")
    show.line("model:")
    show.line(f'  weights: {{file: {file}, sha256: "{made.sha256}", prefix: msra}}')
    show.line("  layout: msra")


def evaluate(
    weights: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run, as for export, or a file of weights of this or another library.",
            autocompletion=completion.runs_and_recipes,
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
        typer.Option(
            metavar="KINDS", help="Kinds of evaluation (default: knn,linear); kNN is always done."
        ),
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
    again: Again = False,
    launcher: Annotated[
        str, typer.Option(metavar="LAUNCHER", help="As --on of run: here, local, auto ...")
    ] = "auto",
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Write the recipe and show the plan; run nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")] = False,
) -> None:
    """Evaluate a run's or a file's weights on any data: write a recipe, run it, report."""
    from harness.app import evaluating
    from harness.cli import show
    from harness.cli.run import RunOptions, run_command
    from harness.spec.registry import launchers
    from harness.track import feed

    where = machine(data=data, runs=runs, device=device, processes=processes, site=site)
    feed.check()  # report wrong tracker settings before anything runs
    if launcher not in (known := ("auto", *launchers())):
        why = f"{launcher!r} is not one of {', '.join(known)}"
        raise typer.BadParameter(why, param_hint="--launcher")
    kinds = [] if tasks is None else [each.strip() for each in tasks.split(",")]
    changes = sets or []
    made = evaluating.write(weights, on, where, tasks=kinds, size=size, to=to, sets=changes)
    show.line(f"{made.said}")
    for note in made.notes:
        show.line(f"note: {note}")
    show.line(f"recipe: {made.recipe}{'' if made.new else ' (there already)'}")
    options = RunOptions(launcher, not yes, again, dry, None)
    raise typer.Exit(run_command(made.recipe, changes, where, options))
