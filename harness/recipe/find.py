"""Find a recipe by its name: first in ./recipes, then among the shipped ones. Lists of recipes are
named lists/NAME."""

from __future__ import annotations

import os
import re
from pathlib import Path

import harness
from harness.errors import RecipeError
from harness.recipe.section import LONGEST_NAME, NAME
from harness.recipe.suggest import closest
from harness.recipe.yaml_source import display, no_such

FOLDER = Path("recipes")
LISTS = "lists"
ENDINGS = (".yaml", ".yml")


def shipped(folder: str) -> Path:
    """The folder of `recipes` or `ablations` that comes with the harness.

    In a checkout, _shipped holds links to the repository's folders; a wheel holds copies.
    """
    return Path(os.path.realpath(Path(harness.__file__).parent / "_shipped" / folder))


def name_of(path: Path, mend: str) -> str:
    """The name of a recipe that is to be written to `path`.

    Args:
        mend: what to do if the name is refused.

    Raises:
        RecipeError: no recipe can have it.
    """
    name = path.name.removesuffix(path.suffix)
    if path.suffix in ENDINGS and re.fullmatch(NAME, name) and len(name) <= LONGEST_NAME:
        return name
    raise RecipeError(
        f"{display(path)}: a recipe's file is NAME.yaml, and names its runs: lower-case "
        f"letters, digits and . _ = -, {LONGEST_NAME} at most; {mend}"
    )


def names(at: Path = Path()) -> dict[str, Path]:
    """Every name that `find` accepts, and its file. A name in ./recipes hides the shipped one."""
    found: dict[str, Path] = {}
    for folder in (shipped("recipes"), at / FOLDER):
        found |= {file.stem: file for file in folder.glob("*.yaml")}
        found |= {f"{LISTS}/{file.stem}": file for file in folder.glob(f"{LISTS}/*.yaml")}
    return dict(sorted(found.items()))


def find(named: str, at: Path = Path()) -> Path:
    """The recipe's file. A path to a file is returned as it is. A name, with or without .yaml, is
    searched in ./recipes and then among the shipped recipes.

    A broken link, or a path to something that is not a file, is returned too: the code that reads
    it reports the error.

    Args:
        at: the folder that paths and ./recipes are relative to.

    Raises:
        RecipeError: there is no recipe of this name.
    """
    path = at / named
    try:
        if (path.exists() or path.is_symlink()) and not path.is_dir():
            return path
    except (OSError, ValueError):  # no file system can hold this name
        return path
    name = path.stem if path.suffix in ENDINGS else path.name
    if path.parent.name == LISTS:
        name = f"{LISTS}/{name}"
    known = names(at)
    if named in ("", ".", "..") or (os.sep in named and named.rpartition(os.sep)[0] != LISTS):
        if name in known and not path.parent.exists():
            what = f"{display(path)}: {no_such(path)}"
            raise RecipeError(f"{what}; to use {display(known[name])}, write only {name}")
        return path
    if name in known:
        return known[name]
    if path.is_dir() or (os.sep in named and path.parent.is_dir()):
        return path
    files = {p.stem: p.name for p in at.glob("*.y*ml") if p.suffix in ENDINGS}
    near = closest(name, [*known, *files])
    hint = "; moco-harness recipes list shows all"
    if near is not None:
        hint = f", did you mean {files.get(near, near)}?"
    raise RecipeError(f"{display(path)}: no such file or recipe{hint}")


def find_if_recipe(word: str, *, must: bool = False) -> Path | None:
    """The recipe's file, where a word may also name something else, as a run; None if it names no
    recipe.

    Args:
        must: the word can only name a recipe, as a path and a name of a YAML file do.

    Raises:
        RecipeError: a word that can only name a recipe names none.
    """
    must = must or os.sep in word or word.endswith(ENDINGS)
    try:
        path = find(word)
    except RecipeError:
        if must:
            raise
        return None
    return path if must or path.is_file() else None


def portable_name(recipe: Path, root: Path) -> str:
    """The name by which `find(..., root)` finds the recipe on other machines too: its path from
    `root`, or the name of a shipped recipe outside `root`."""
    real = Path(os.path.realpath(recipe))
    below = real.is_relative_to(os.path.realpath(root))
    if below or real.parent != shipped("recipes"):
        return os.path.relpath(recipe, root)
    return real.stem
