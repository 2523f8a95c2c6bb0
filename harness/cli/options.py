"""Arguments and options that several commands have."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import completion
from harness.output import inert

if TYPE_CHECKING:
    from harness.site import Site

MOST_SEEDS = 1000
"""Maximum number of seeds in one option."""


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


def parse_seeds(text: str | None) -> tuple[int, ...]:
    """The seeds that an option names, in its order, each once; () for None.

    Raises:
        RecipeError: the text is no such list.
    """
    found: dict[int, None] = {}
    from harness.errors import RecipeError

    for part in text.split(",") if text is not None else ():
        named = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        first, last = (int(named[1]), int(named[2] or named[1])) if named else (1, 0)
        if not first <= last < first + MOST_SEEDS:
            raise RecipeError(f"--seeds {text}: write seeds like 0-7 or 3,5 (at most {MOST_SEEDS})")
        found |= dict.fromkeys(range(first, last + 1))
    return tuple(found)


def settings(sets: list[str] | None, seeds: str | None) -> list[str]:
    """The values of --set, and that of --seeds as one more. Raises RecipeError."""
    from harness.recipe.several_seeds import with_seeds

    return with_seeds(sets or [], parse_seeds(seeds))


def known_launcher(on: str) -> str:
    """The value of --on, after a check that it and the trackers' settings can be used."""
    from harness.spec.registry import launchers
    from harness.track import feed

    feed.check()  # report wrong tracker settings before anything runs
    if on not in (known := ("auto", *launchers())):
        raise typer.BadParameter(f"{on!r} is not one of {', '.join(known)}", param_hint="--on")
    return on


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
    typer.Option("--with-images", help="Also publish images of your own data."),
]
AtOnce = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Stages that run at once on this machine's CPU (default: the site file's, else 1).",
    ),
]
Seeds = Annotated[
    str | None, typer.Option(help="Seeds instead of the recipes' own, e.g. 0-7 or 3,5.")
]
Again = Annotated[
    bool, typer.Option("--again", help="Repeat stale stages; keep old folders in RUNS/aside.")
]
Launcher = Annotated[
    str,
    typer.Option(
        metavar="LAUNCHER",
        help="here; local: in the background; auto: the site file's, if usable, else here.",
        autocompletion=completion.launchers,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the plan and the jobs; start nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before long work.")]
