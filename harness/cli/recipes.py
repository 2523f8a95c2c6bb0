"""`moco-harness recipes ...`: show and check recipes without running them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import completion, options
from harness.cli.options import Sets

if TYPE_CHECKING:
    from harness.app.comparing import Comparison
    from harness.site import Site

app = typer.Typer(help="Write, list, show, validate and compare recipes.", no_args_is_help=True)

WIDE = 120
"""Columns of a terminal from which `list` names the ablation of each ablation recipe, and `diff`
the label of each field: on a narrower one no room would be left for titles and values."""

Folder = Annotated[
    Path | None,
    typer.Argument(help="Folder of recipes (default: ./recipes and shipped ones).", readable=False),
]
File = Annotated[
    Path,
    typer.Argument(metavar="RECIPE", parser=options.found, autocompletion=completion.recipes),
]


@app.command()
def new(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="The file to write.", parser=options.path)
    ],
    images: Annotated[
        Path,
        typer.Option(
            help="Your images: a folder in any nesting, or with train/CLASS and val/CLASS.",
            parser=options.path,
        ),
    ],
    size: Annotated[
        int | None,
        typer.Option(min=8, max=1024, help="Side of the views in pixels (default: one that fits)."),
    ] = None,
    watch: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="A labelled set, by name or folder, on which kNN is measured."
        ),
    ] = None,
    split: Annotated[
        float | None,
        typer.Option(
            help="The folders are classes: keep this share of each for testing, as in 0.1."
        ),
    ] = None,
    data: options.DataRoot = None,
    site: options.SitePath = None,
) -> None:
    """Write a recipe whose values fit a folder of images, each with its reason."""
    from harness.app import new_recipe
    from harness.cli import show

    machine = options.machine(data=data, site=site)
    made = new_recipe(recipe, images, machine, size=size, watch=watch, split=split)
    for note in made.notes:
        show.line(f"note: {note}")
    show.line(f"{images}: {made.folder.summary}")
    show.line(f"{recipe}: written; each value has its reason above it")
    show.line(f"next: {made.next}")


@app.command("list")
def list_(folder: Folder = None) -> None:
    """List recipes with their titles; without a folder, all that can be named without a path."""
    from rich.markup import escape
    from rich.table import Table

    from harness import command
    from harness.cli import show
    from harness.errors import HarnessError, RecipeError
    from harness.recipe import find
    from harness.recipe.ablation import Scale
    from harness.recipe.load import is_ablation, is_list, load, load_ablation, load_list
    from harness.recipe.printed import FILE, blocks

    if folder is None:
        files = find.names()
    elif folder.is_dir():
        next(folder.iterdir(), None)  # rglob skips a closed folder silently
        files = {str(path): path for path in sorted(folder.rglob("*.yaml"))}
    else:
        raise RecipeError(f"{folder}: no such folder; name the folder of the recipes")
    narrow = show.console.width < WIDE
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("recipe", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    table.add_column("title")
    if not files:
        show.line(f"{folder or find.FOLDER}: contains no recipes (.yaml files)")
        return
    for shown, path in files.items():
        name = escape(shown)
        try:
            if path.name == FILE:
                table.add_row(name, "numbers", f"{len(blocks(path))} blocks")
                continue
            if is_ablation(path):
                ablation = load_ablation(path)
                kind = "paper's table" if ablation.of_paper else "ablation"
                table.add_row(name, kind, escape(ablation.title))
                continue
            if is_list(path):
                table.add_row(name, "list", escape(load_list(path)[0].purpose))
                continue
            loaded = load(path)
        except HarnessError:
            table.add_row(
                name, "[red]invalid[/]", f"see: {command.line('recipes', 'validate', path)}"
            )
            continue
        kind = "ablation" if isinstance(loaded, Scale) else "recipe"
        if isinstance(loaded, Scale) and not narrow:
            kind = f"ablation recipe ({loaded.ablation})"
        table.add_row(name, kind, escape(loaded.about.title))
    show.console.print(table)


@app.command()
def show(recipe: File, sets: Sets = None) -> None:
    """Print a recipe resolved: bases merged, --set applied, defaults filled in."""
    from harness.recipe.load import is_list, load, load_list
    from harness.recipe.yaml_text import render

    found = load_list(recipe)[0] if is_list(recipe) else load(recipe, sets or [])
    print(render(found.model_dump(mode="json")), end="")


@app.command()
def validate(
    files: Annotated[
        list[str], typer.Argument(metavar="RECIPE...", autocompletion=completion.recipes)
    ],
) -> None:
    """Check recipes, ablation recipes with all cells, lists and papers' tables; print every
    mistake, and warn of settings that cannot work."""
    from harness.cli import show
    from harness.errors import RecipeError
    from harness.preflight.recipe_file import of_recipe, of_scale
    from harness.recipe.ablation import Scale
    from harness.recipe.expand import expand
    from harness.recipe.load import is_ablation, is_list, load, load_ablation, load_list
    from harness.recipe.printed import FILE, blocks
    from harness.recipe.reference import printed_curves
    from harness.spec.libraries import missing_libraries

    wrong = []
    for named in files:
        try:
            path = options.found(named)
            if path.name == FILE:
                show.line(
                    f"{path}: valid, {show.count(len(blocks(path)), 'block')} of printed numbers"
                )
                continue
            if is_ablation(path):
                show.line(f"{path}: valid, {show.count(len(load_ablation(path).cells), 'cell')}")
                continue
            if is_list(path):
                show.line(f"{path}: valid, {show.count(len(load_list(path)[1]), 'recipe')}")
                continue
            loaded = load(path)
            if loaded.about.curves is not None:
                try:
                    printed_curves(loaded.about.curves)
                except RecipeError as error:
                    raise RecipeError(f"{path}: {error}") from error
            if isinstance(loaded, Scale):
                expansion = expand(loaded, path)
                runs = [member.recipe for member in expansion.members]
                found = of_scale(loaded, expansion, path)
            else:
                runs, found = [loaded], of_recipe(loaded)
            show.line(f"{path}: valid, {show.count(len(runs), 'run')}")
            for lacks in missing_libraries(
                said.kind for run in runs for said in run.tasks.values()
            ):
                show.line(f"note: {lacks}", "yellow")
            show.preflight(found, "  ")
        except RecipeError as error:
            wrong.append(str(error))
    if wrong:
        raise RecipeError("\n".join(wrong))


@app.command()
def diff(
    first: File,
    second: File,
    runs: options.Runs = None,
    data: options.DataRoot = None,
    site: options.SitePath = None,
) -> None:
    """Show where two recipes, or two ablation recipes, differ once resolved, then their results.

    Where both have results, edition, data, threads and versions that differ are shown too.
    """
    from rich.markup import escape
    from rich.table import Table

    from harness.cli import show
    from harness.cli.compare import show_document
    from harness.recipe.difference import difference
    from harness.recipe.load import load, load_recipe
    from harness.report.side_by_side import DETAILS, DIFFERS

    one, other = load(first), load(second)
    if type(one) is not type(other):  # refuse the one that is not a single run
        one, other = load_recipe(first), load_recipe(second)
    found = difference(one, other)
    made = _compared(first, second, options.machine(data=data, runs=runs, site=site))
    rows = [(path, _label(path), *map(_as_yaml, values)) for path, *values in found]
    if made is not None:
        rows += [(each.what, "", each.a, each.b) for each in made.differences if not each.of_recipe]
    if not found:
        show.line("no difference after defaults and `extends`")
    if rows:
        labelled = show.console.width >= WIDE
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("field", no_wrap=True)
        short = not labelled and first.name != second.name
        names = (first.name, second.name) if short else (str(first), str(second))
        for heading in (*([""] if labelled else []), *names):
            table.add_column(escape(heading), overflow="fold")
        for path, label, *values in rows:
            table.add_row(*map(escape, [path, *([label] if labelled else []), *values]))
        show.console.print(table)
    if made is not None:
        show.console.print()
        show_document(made.document, DIFFERS, DETAILS)


def _label(path: str) -> str:
    """The label of a recipe's field; "" if it has none."""
    from harness.recipe.labels import label

    try:
        return label(path)
    except KeyError:
        return ""


def _compared(first: Path, second: Path, site: Site) -> Comparison | None:
    """What the runs of both recipes say beside each other; None if the run root has nothing to
    compare."""
    from harness.app.comparing import compare
    from harness.errors import StoreError

    try:
        made = compare(first, second, site=site)
    except StoreError:  # no common cell
        return None
    measured = any(pair.a and pair.b for pair in made.pairs)
    ran_otherwise = any(not each.of_recipe for each in made.differences)
    return made if measured or ran_otherwise else None


def _as_yaml(value: object) -> str:
    """A field's value in the form of a recipe, on one line."""
    from harness.recipe.difference import ABSENT
    from harness.recipe.yaml_text import render

    return "(no such field)" if value is ABSENT else render(value, flow=True)


@app.command()
def schema(
    out: Annotated[
        Path | None, typer.Option(help="File to write (default: print it).", parser=options.path)
    ] = None,
) -> None:
    """Print the JSON schema that lets an editor complete and check recipes."""
    from harness.recipe.json_schema import TITLE, render
    from harness.replace import refuse_others
    from harness.store import atomic

    def ours(content: bytes) -> bool:
        return atomic.json_object(content).get("title") == TITLE

    if out is None:
        print(render(), end="")
    else:
        refuse_others(out, "this JSON schema", ours)
        atomic.write(out, lambda file: file.write(render().encode()))
