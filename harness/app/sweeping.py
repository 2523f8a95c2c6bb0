"""Sweeps: a grid over a recipe's fields, kept in the run root as an ablation recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from harness import command
from harness.app import planning
from harness.app.public import public
from harness.command import Commands
from harness.errors import RecipeError
from harness.recipe.expand import expand
from harness.recipe.find import find
from harness.recipe.grid import value_text
from harness.recipe.sweep import Sweep
from harness.recipe.sweep import sweep as made_of
from harness.recipe.yaml_source import display, read
from harness.recipe.yaml_text import render
from harness.report.write import write_files
from harness.site import Site, load_site
from harness.store import atomic
from harness.store.layout import refuse_link
from harness.temporary import temporary_folder

FOLDER = "sweeps"
"""The folder of a run root that holds the ablation recipes of sweeps."""

MANY = 500
"""Runs of a sweep that are planned without a question."""


@dataclass(frozen=True)
class NewSweep:
    """A sweep in the run root."""

    path: Path
    """Its ablation recipe, which every function and command takes as any other."""
    cells: int
    """Combinations of the values."""
    runs: int
    """Without those of the untrained network."""
    resumed: bool
    """Whether it was there already, with the same content."""


@public
def sweep(
    recipe: Path | str,
    site: Site | None = None,
    *,
    sets: Sequence[str],
    seeds: Sequence[int] = (),
    name: str = "",
) -> NewSweep:
    """Write a sweep of the recipe as an ablation recipe into the run root. Then `run(path)`,
    `submit(path)` and `report(path)` do the rest.

    Args:
        recipe, site: see `plan`.
        sets: FIELD=VALUE,VALUE,... Every combination of the values is a cell.
        seeds: of every cell; (): the recipe's own.
        name: names the sweep and its runs; "": made of the recipe's name and the fields.

    Raises:
        RecipeError: a setting is wrong, or the run root has another sweep of this name.
        StoreError: the run root cannot be written.
    """
    site = site or load_site()
    return write(draft(recipe, sets=sets, seeds=seeds, name=name), site)


def draft(
    recipe: Path | str, *, sets: Sequence[str], seeds: Sequence[int] = (), name: str = ""
) -> Sweep:
    """As `sweep`, without writing anything."""
    return made_of(find(str(recipe)), sets, seeds, name)


def write(made: Sweep, site: Site) -> NewSweep:
    """Write the sweep into the run root, if it is not there; see `sweep`."""
    path = place(made, site)
    if resumed := _is_there(made, path, site):
        made = _with_edited_about(made, path)
    if not resumed or read(path).plain() != made.content:
        expand(made.scale, path, made.file)  # refuse what cannot be, before it has a file
        refuse_link(path.parent)
        planning.writable(site.runs)
        text = (_renewed(made, path) if resumed else made.text(_command(made))).encode()
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise atomic.write_error(error, path, "--runs") from error
        atomic.write(path, lambda file: file.write(text))
    return NewSweep(path, made.cells, made.runs, resumed)


@contextmanager
def unwritten(made: Sweep, site: Site) -> Iterator[Path]:
    """The sweep as a file that exists only in this context, for a plan that writes nothing."""
    _is_there(made, place(made, site), site)
    with temporary_folder() as folder:
        (path,) = write_files({f"{made.name}.yaml": made.text()}, folder)
        yield path


def hours(made: Sweep, recipe: Path | str, site: Site) -> float | None:
    """About how many hours the whole sweep takes here, from one run of the recipe; None: unknown,
    as where a part of that run is done, whose hours no plan has."""
    first = {**made.settings, **{field: values[0] for field, values in made.grid.items()}}
    sets = [f"{field}={render(value, flow=True)}" for field, value in first.items()]
    one = planning.plan(recipe, site, sets=sets)
    own = [stage for stage in one.stages if not one.is_beside(stage)]
    if any(stage.action != "run" for stage in own):
        return None
    return None if one.hours is None else one.hours * made.runs


def place(made: Sweep, site: Site) -> Path:
    """The path of its ablation recipe."""
    return site.runs / FOLDER / f"{made.name}.yaml"


def _is_there(made: Sweep, path: Path, site: Site) -> bool:
    """Whether the run root has this sweep, if with another `about`, which decides no result.

    Raises:
        RecipeError: it has another one of this name.
    """
    if not path.exists():
        return False
    there = read(path).plain()
    if {**there, "about": {}} == {**made.content, "about": {}}:
        return True
    apart = ", ".join(_differences(there, made.content))
    run = Commands(site.runs, site.file).line("run", path)
    raise RecipeError(
        f"{display(path)}: another sweep of this name ({apart}); nothing was changed. "
        f"Choose a name with --name, or go on with that one: {run}"
    )


def _with_edited_about(made: Sweep, path: Path) -> Sweep:
    """The sweep with its file's `about`, which may have been edited, but for what `made` sets."""
    there = read(path).plain().get("about")
    fields = [text.partition("=")[0].strip().split(".") for text in made.sets]
    new = made.content["about"]
    named = {field[1]: new[field[1]] for field in fields if field[0] == "about" and field[1] in new}
    about = {**(there if isinstance(there, dict) else {}), **named}
    return replace(made, content={**made.content, "about": about})


def _renewed(made: Sweep, path: Path) -> str:
    """The text of its file with another `about`, and the comments at its head as they are.

    Raises RecipeError if the file has more of its user's, which would be lost.
    """
    text = path.read_text(encoding="utf-8")
    head = "".join(takewhile(lambda line: line[0] == "#", text.splitlines(keepends=True)))
    if text != head + render(read(path).plain()):
        raise RecipeError(
            f"{display(path)}: it has comments or a form of your own, which would be lost: change "
            "about: in it, and leave --set about... out"
        )
    return head + render(made.content)


def _differences(there: dict[str, object], new: dict[str, object]) -> Iterator[str]:
    for field in dict.fromkeys((*there, *new)):
        if there.get(field) != new.get(field):
            old = there.get(field)
            simple = isinstance(old, str | int | list) and len(str(old)) < 40
            yield f"{field}: {value_text(old)}" if simple else f"other {field}"


def _command(made: Sweep) -> str:
    """The command that makes the sweep."""
    words = ["sweep", made.named, *(word for text in made.sets for word in ("--set", text))]
    return command.line(*words, "--seeds", ",".join(map(str, made.seeds)), "--name", made.name)
