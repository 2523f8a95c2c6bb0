"""Arguments and options that several commands have."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import completion
from harness.output import inert

if TYPE_CHECKING:
    from harness.site import Site


def path(said: str) -> Path:
    """A path from the command line."""
    if not said:
        raise typer.BadParameter("an empty path; name a path, or . for this folder")
    return Path(said)


def found(named: str) -> Path:
    """The file of a recipe named on the command line."""
    from harness.recipe.find import find

    return find(named)


def machine(
    *,
    data: Sequence[Path] | None = None,
    runs: Path | None = None,
    device: str | None = None,
    processes: int | None = None,
    at_once: int | None = None,
    site: Path | None = None,
) -> Site:
    """The machine in use; prints notes about unexpected settings to standard error.

    Raises:
        RecipeError: the site file cannot be accepted.
    """
    from harness.site import load_site

    found = load_site(
        data=data, runs=runs, device=device, processes=processes, at_once=at_once, site=site
    )
    for note in found.notes:
        print(inert(f"note: {note}"), file=sys.stderr)
    return found


RECIPE_HELP = "Recipe or ablation recipe: a YAML file, or a name that `recipes list` shows."
RecipePath = Annotated[
    Path,
    typer.Argument(
        metavar="RECIPE", help=RECIPE_HELP, parser=found, autocompletion=completion.recipes
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Change a field, e.g. optim.epochs=2.",
        autocompletion=completion.fields,
    ),
]
# No square brackets in help texts: rich would read them as markup and remove them.
Runs = Annotated[
    Path | None,
    typer.Option(help="Run root (default: the site file's, else ./runs).", parser=path),
]
DataRoot = Annotated[
    list[Path] | None,
    typer.Option(
        help="Data root (default: the site file's, else ~/.cache/moco-harness/data). Of several, "
        "the first that holds a data set has it.",
        parser=path,
    ),
]
SitePath = Annotated[
    Path | None,
    typer.Option(
        "--site",
        help="Site file: settings of this machine (default: ~/.config/moco-harness/site.yaml).",
        parser=path,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="auto, cpu, cuda, cuda:1 ... (default: the site file's, else auto)."),
]
Processes = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes for each run, one for each GPU (default: the site file's, else 1).",
    ),
]
WithImages = Annotated[
    bool,
    typer.Option("--with-images", help="Also thumbnails of your own images, or of ImageNet's."),
]
AtOnce = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Stages that run at once on this machine's CPU (default: the site file's, else 1).",
    ),
]
