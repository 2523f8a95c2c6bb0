"""How one recipe's file names another: by a path relative to itself, or by a shipped recipe's name;
and the chain of files that `extends` makes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import RecipeError
from harness.recipe.find import ENDINGS, shipped
from harness.recipe.suggest import closest
from harness.recipe.tree import Node
from harness.recipe.yaml_source import display, no_such, read

Chain = list[tuple[Path, Node]]
"""A file and its values, then the file that it extends, and so on."""


def referred(path: Path, name: str, prefix: str) -> Path:
    """The file that `path` names: a path relative to `path`, with or without .yaml, or else the
    name of a shipped recipe, without .yaml.

    Raises RecipeError if it does not exist.
    """
    target = path.parent / name
    try:
        if target.is_file():
            return target
        if target.name and (file := target.with_name(f"{target.name}.yaml")).is_file():
            return file
        if target.is_dir():
            raise RecipeError(f"{prefix}{name}: a folder; name a .yaml file in it")
        if target.exists():  # of another kind, of which the reader complains
            return target
    except (OSError, ValueError):  # no file system can hold this name
        raise RecipeError(f"{prefix}{display(target)}: {no_such(target)}") from None
    if name and os.sep not in name and not name.endswith(ENDINGS):
        known = {file.stem: file for file in shipped("recipes").glob("*.yaml")}
        if name in known:
            return known[name]
        why = no_such(target)
        if "did you mean" not in why and (near := closest(name, known)) is not None:
            why = f"no such file or shipped recipe, did you mean {near}?"
        raise RecipeError(f"{prefix}{display(target)}: {why}")
    why = no_such(target)
    if os.sep not in name and (file := shipped("recipes") / name).is_file():
        why = f"no such file; the shipped recipe is named without {file.suffix}: {file.stem}"
    raise RecipeError(f"{prefix}{display(target)}: {why}")


def named_from(folder: Path, file: Path) -> str:
    """The name by which a file in `folder` refers to `file`: of a shipped recipe its name, unless
    another file in `folder` has it; else the relative path."""
    real = Path(os.path.realpath(file))
    beside = (folder / real.stem, folder / f"{real.stem}.yaml")
    others = (each for each in beside if os.path.lexists(each) and each.resolve() != real)
    if real.parent == shipped("recipes") and not any(others):
        return real.stem
    return os.path.relpath(real, os.path.realpath(folder))


def chain(path: Path, node: Node) -> Chain:
    """The file with these values and, in turn, every file that it extends.

    Raises:
        RecipeError: a file does not exist or cannot be read, or they extend each other.
    """
    found = [(path, node)]
    seen = {os.path.realpath(path)}
    while (extends := found[-1][1].get("extends")) is not None:
        base = _base(found[-1][0], extends)
        real = os.path.realpath(base)
        if real in seen:
            shown = [display(file) for file, _ in found] + [display(base)]
            raise RecipeError(f"{extends.place}: extends: a loop: {' -> '.join(shown)}")
        seen.add(real)
        found.append((base, read(base)))
    return found


def _base(path: Path, extends: Node) -> Path:
    if not isinstance(extends.value, str) or not extends.value:
        raise RecipeError(f"{extends.place}: extends: needs the name of one file, as in base.yaml")
    return referred(path, extends.value, f"{extends.place}: extends: ")


def closure(path: Path) -> Iterator[Path]:
    """The recipe's file and all files that it extends or changes, each followed by its own; these
    were read before, so there is no cycle."""
    yield path
    node = read(path)
    for field in ("extends", "recipe"):
        named = node.get(field)
        if named is not None and isinstance(named.value, str):
            yield from closure(referred(path, named.value, ""))
        elif named is not None and isinstance(named.value, dict):  # a recipe written in place
            base = named.get("extends")
            if base is not None and isinstance(base.value, str):
                yield from closure(referred(path, base.value, ""))
    for control in _controls(node):
        yield from closure(referred(path, control, ""))


def _controls(node: Node) -> Iterator[str]:
    """The recipes of given weights that an ablation recipe evaluates too."""
    controls = node.get("controls")
    for each in controls.value if controls is not None and isinstance(controls.value, list) else ():
        named = each.get("recipe")
        if named is not None and isinstance(named.value, str):
            yield named.value
