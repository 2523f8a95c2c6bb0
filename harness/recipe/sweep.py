"""A sweep: settings with several values, as an ablation recipe that holds its ablation and recipe.

optim.lr=0.01,0.03        two values
optim.epochs=5            one value: set for every cell
linear.lr=[30, 10],[10]   two values that are lists; commas in brackets or quotes separate nothing
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import RecipeError
from harness.recipe.ablation import Scale
from harness.recipe.expand import RESERVED
from harness.recipe.find import portable_name
from harness.recipe.grid import FIELD, doubled, heading, short_names, value_text
from harness.recipe.load import UNREAD, load, load_recipe, recipe_node, scale_of
from harness.recipe.reported import judged
from harness.recipe.scale_file import ScaleFile, held
from harness.recipe.schema import Recipe
from harness.recipe.section import NAME
from harness.recipe.settings import parse_set, place_of
from harness.recipe.tree import Node, Place, merge, overlay, placed
from harness.recipe.validate import validate
from harness.recipe.yaml_source import display, read
from harness.recipe.yaml_text import render

LONGEST = 39
"""Characters of a sweep's name, which its runs' names begin with."""

_PAIRS = {"[": "]", "{": "}", '"': '"', "'": "'"}

_OPTION = {"seed": "name seeds with --seeds", "seeds": "name seeds with --seeds",
           "name": "name the sweep with --name"}  # fmt: skip


@dataclass(frozen=True)
class Sweep:
    """An ablation recipe made from settings, not written yet."""

    name: str
    recipe: str
    """The name of the recipe that is swept."""
    named: str
    """By which `find` has the recipe's file, from the working folder."""
    grid: Mapping[str, Sequence[Any]]
    """Dotted field -> its values; only fields with several."""
    settings: Mapping[str, Any]
    """Dotted field -> its only value."""
    sets: tuple[str, ...]
    """The settings as they were given."""
    seeds: tuple[int, ...]
    file: ScaleFile
    content: dict[str, Any]
    """What its file holds."""

    @property
    def cells(self) -> int:
        return math.prod(len(values) for values in self.grid.values())

    @property
    def runs(self) -> int:
        """Number of runs, without those of the untrained network."""
        return self.cells * len(self.seeds)

    @property
    def scale(self) -> Scale:
        """The ablation recipe, validated. Raises RecipeError."""
        return scale_of(self.file)

    def text(self, command: str = "") -> str:
        """Its file. `command`: the command that made it."""
        head = "# A sweep: an ablation recipe with the recipe and the grid in it.\n"
        said = "".join(f"# {line}\n" for line in command.splitlines())
        return head + said + render(self.content)


def sweep(path: Path, sets: Sequence[str], seeds: Sequence[int] = (), name: str = "") -> Sweep:
    """The sweep of a recipe over every combination of the values.

    Args:
        sets: FIELD=VALUE or FIELD=VALUE,VALUE,...; at least one has several values.
        seeds: of every cell; (): the recipe's own.
        name: names the runs; "": made of the recipe's name and the fields.

    Raises:
        RecipeError: a setting is wrong, and which one; nothing has several values; the recipe is an
            ablation recipe.
    """
    _refuse_scale(path)
    said = dict(_parsed(sets))
    values = {field: nodes for field, nodes in said.items() if not _is_about(field)}
    base = recipe_node(path, read(path))
    _check_values(base, values)
    if not any(len(nodes) > 1 for nodes in values.values()):
        shown = next(iter(values), "optim.lr")
        raise RecipeError(f"nothing to sweep: give a field several values, as in --set {shown}=A,B")
    grid = {field: nodes for field, nodes in values.items() if len(nodes) > 1}
    fixed = {field: nodes[0] for field, nodes in values.items() if len(nodes) == 1}
    recipe = load_recipe(path)
    name = name or default_name(recipe.name, list(grid))
    _check_name(name)
    seeds = tuple(seeds) or (recipe.seed,)
    place = Place("sweep")
    first = [*fixed.items(), *((field, nodes[0]) for field, nodes in grid.items())]
    made = validate(Recipe, merge(base, overlay(first, place)))
    assert isinstance(made, Recipe)
    fields = ", ".join(heading(field) for field in grid)
    node = {
        "name": placed(name, place),
        "ablation": Node(
            {
                "title": placed(f"{fields} of {recipe.about.title or recipe.name}", place),
                FIELD: Node({f: Node([*each], each[0].place) for f, each in grid.items()}, place),
            },
            place,
        ),
        "recipe": base.without("seed"),
        "set": Node(dict(fixed), place),
        "seeds": placed(list(seeds), place),
        "metric": placed(judged(made), place),
        "about": _about(base, {f: nodes[0] for f, nodes in said.items() if _is_about(f)}, place),
    }
    whole = Node(node, place)
    return Sweep(
        name,
        recipe.name,
        portable_name(path, Path()),
        {field: [each.plain() for each in nodes] for field, nodes in grid.items()},
        {field: each.plain() for field, each in fixed.items()},
        tuple(sets),
        tuple(seeds),
        held(whole, (path,)),
        whole.plain(),
    )


def _is_about(field: str) -> bool:
    """Whether the field describes the sweep, not its runs."""
    return field.startswith("about.")


def _about(base: Node, settings: Mapping[str, Node], place: Place) -> Node:
    """What is set of the sweep's `about`, and the warnings that the recipe accepts."""
    accepted = base.get("about", "accept")
    own = Node({} if accepted is None else {"accept": accepted}, place)
    return merge(own, overlay([*settings.items()], place).get("about") or own)


def default_name(recipe: str, fields: Sequence[str]) -> str:
    """The recipe's name and the fields' short names, as long as a name may be."""
    name = f"{recipe}-{'-'.join(short_names(fields).values())}"
    return name[:LONGEST].rstrip("-_.=")


def values_of(text: str, place: str) -> list[str]:
    """The values that commas separate, but not commas in brackets or quotes.

    Raises:
        RecipeError: a bracket or a quote is not closed.
    """
    found, open_, begin, skipped = [], list[str](), 0, -1
    for at, character in enumerate(text):
        within = open_[-1] if open_ else ""
        if at == skipped:
            continue
        if (within, character) == ('"', "\\") or (within == "'" and text[at : at + 2] == "''"):
            skipped = at + 1  # an escaped character, or a doubled quote
        elif open_ and character == open_[-1]:
            open_.pop()
        elif open_ and open_[-1] in "\"'":
            continue
        elif character in _PAIRS and (character in "[{" or not text[begin:at].strip() or open_):
            open_.append(_PAIRS[character])
        elif character == "," and not open_:
            found.append(text[begin:at].strip())
            begin = at + 1
    if open_:
        raise RecipeError(f"{place}: {open_[-1]} is missing: close the bracket or quote")
    return [*found, text[begin:].strip()]


def _parsed(sets: Sequence[str]) -> Iterator[tuple[str, list[Node]]]:
    """(dotted field, its values) of each setting."""
    seen: dict[str, str] = {}
    for text in sets:
        field, _, value = text.partition("=")
        if not value.strip():
            parse_set(text)  # which refuses it
        field, place = field.strip(), str(place_of(text))
        if field in seen:
            both = f"{seen[field].strip()},{value.strip()}"
            raise RecipeError(
                f"{place}: {field} is set twice; give all its values at once, as in --set "
                f"{field}={both}"
            )
        seen[field] = value
        section = field.split(".")[0]
        why = _OPTION.get(field) or ("" if _is_about(field) else RESERVED.get(section))
        if why:
            raise RecipeError(f"{place}: {field}: {why}")
        parts = [value] if _is_about(field) else values_of(value, place)
        if "" in parts:
            raise RecipeError(
                f"{place}: a value is empty, between or after the commas; for no value write null, "
                'for empty text ""'
            )
        if section in UNREAD and len(parts) > 1:
            raise RecipeError(f"{place}: {field} decides no result: give it one value")
        nodes = [parse_set(f"{field}={each}")[1] for each in parts]
        if wrong := doubled(nodes):
            raise RecipeError("\n".join(f"{place}: {why}" for _, why in wrong))
        yield field, nodes


def _check_values(base: Node, values: Mapping[str, Sequence[Node]]) -> None:
    """Check each value beside the first ones of the other fields: a combination of the grid.

    Raises:
        RecipeError: a field does not exist, a value does not fit it, or two values give the same
            recipe.
    """
    wrong: dict[str, None] = {}
    for field, nodes in values.items():
        others = [(other, each[0]) for other, each in values.items() if other != field]
        made: dict[str, Node] = {}
        for node in nodes:
            found = validate(Recipe, merge(base, overlay([*others, (field, node)], base.place)))
            if not isinstance(found, Recipe):
                hint = _as_several(field, node, base, others)
                for each in found:
                    said = "" if str(node.place) in str(each) else f" (with {node.place})"
                    wrong[f"{each}{hint}{said}"] = None
                continue
            twin = made.setdefault(found.model_dump_json(), node)
            if twin is not node:
                both = " and ".join(value_text(each.plain()) for each in (node, twin))
                wrong[f"{node.place}: {field}: {both} give the same recipe: keep one"] = None
    if wrong:
        raise RecipeError("\n".join(wrong))


def _as_several(field: str, node: Node, base: Node, others: Sequence[tuple[str, Node]]) -> str:
    """How to write a list that was meant as several values; "" if it was not."""
    if not isinstance(node.value, list) or not node.value:
        return ""
    for item in node.value:
        found = validate(Recipe, merge(base, overlay([*others, (field, item)], base.place)))
        if not isinstance(found, Recipe):
            return ""
    several = ",".join(render(item.plain(), flow=True) for item in node.value)
    return f"; for several values write --set {field}={several}"


def _refuse_scale(path: Path) -> None:
    found = load(path)
    if isinstance(found, Scale):
        raise RecipeError(
            f"{display(path)}: an ablation recipe; sweep the recipe that it changes "
            f"({found.recipe}), or write an ablation recipe with `extends: {found.name}`"
        )


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME, name) or len(name) > LONGEST:
        raise RecipeError(
            f"--name {name}: needs lower-case letters, digits and . _ = -, starting with a "
            f"letter or digit, at most {LONGEST} characters"
        )
