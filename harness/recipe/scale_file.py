"""The file of an ablation recipe: its bases merged, and what it writes in place of a file's name.

`ablation:` and `recipe:` name files, or hold the whole ablation or recipe. So an ablation of one's
own can be a single file.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import RecipeError
from harness.recipe.references import Chain, chain, named_from, referred
from harness.recipe.tree import Node, merge
from harness.recipe.yaml_source import display, read

OWN = ("name", "about", "level", "discussion", "targets", "hours")
"""Fields that say something of one ablation recipe's results, scale or cost: not inherited."""


@dataclass(frozen=True)
class ScaleFile:
    """An ablation recipe's values, not validated yet."""

    node: Node
    """The fields. Where the file holds an ablation or a recipe, its name."""
    ablation: Node | None = None
    """The ablation that the file holds; None: it names a file."""
    recipe: Node | None = None
    """The recipe that the file holds; None: it names a file."""
    paths: tuple[Path, ...] = ()
    """The file, then those that it extends."""


def is_scale(files: Chain) -> bool:
    """Whether the file of this chain is an ablation recipe: it, or one that it extends, has
    `ablation:`."""
    return any("ablation" in node.fields() for _, node in files)


def scale_file(path: Path) -> ScaleFile:
    """The ablation recipe of that file. Raises RecipeError."""
    return from_chain(chain(path, read(path)))


def from_chain(files: Chain) -> ScaleFile:
    """The ablation recipe of a file and those that it extends.

    Raises:
        RecipeError: a base is a recipe of one run, or refers to a file that does not exist.
    """
    path, own = files[0]
    for (file, node), (base, values) in itertools.pairwise(files):
        if "ablation" not in values.fields() and "extends" not in values.fields():
            extends = node.get("extends")
            place = extends.place if extends is not None else display(file)
            raise RecipeError(
                f"{place}: extends: {display(base)} is a recipe of one run; an ablation recipe "
                "extends an ablation recipe, and names its recipe under `recipe:`"
            )
    merged = _from(files[-1], path)
    for each in reversed(files[:-1]):
        own_fields = _from(each, path)
        whole = {"untestable"} & own_fields.fields()  # what it says replaces what is inherited
        kept = without_looks(merged.without(*OWN, *whole), own_fields.fields())
        merged = merge(kept, own_fields)
    merged = Node(merged.without("extends").value, own.place)
    if "name" not in merged.fields():
        merged = merged.with_("name", Node(path.stem, own.place))
    return held(merged, tuple(file for file, _ in files))


def without_looks(node: Node, said: Collection[str]) -> Node:
    """The values to which these fields are added: other seeds need other looks."""
    return node.without("looks") if "seeds" in said and "looks" not in said else node


def held(node: Node, paths: Sequence[Path]) -> ScaleFile:
    """The values, with the name of the ablation or recipe that they hold in its place."""
    name, parts = node.get("name"), dict[str, Node]()
    for field in ("ablation", "recipe"):
        part = node.get(field)
        if part is not None and isinstance(part.value, dict):
            parts[field] = part
            said = part.get("name") or name
            assert said is not None
            node = node.with_(field, Node(said.value, part.place))
    return ScaleFile(node, parts.get("ablation"), parts.get("recipe"), tuple(paths))


def _from(each: tuple[Path, Node], path: Path) -> Node:
    """The values of a base, with its references changed to be valid from `path`."""
    file, node = each
    if file.parent == path.parent:
        return node
    moved = functools.partial(_moved, file, path)
    if (recipe := node.get("recipe")) is not None:
        inner = recipe.get("extends")
        if inner is not None:
            node = node.with_("recipe", recipe.with_("extends", moved(inner)))
        elif isinstance(recipe.value, str):
            node = node.with_("recipe", moved(recipe))
    controls = node.get("controls")
    if controls is not None and isinstance(controls.value, list):
        those = [
            one.with_("recipe", moved(named)) if (named := one.get("recipe")) is not None else one
            for one in controls.value
        ]
        node = node.with_("controls", Node([*those], controls.place))
    return node


def _moved(file: Path, path: Path, named: Node) -> Node:
    """A reference in `file`, changed to be valid in `path`."""
    if not isinstance(named.value, str):
        return named
    target = referred(file, named.value, f"{named.place}: ")
    return Node(named_from(path.parent, target), named.place)
