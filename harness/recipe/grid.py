"""A grid of values as an ablation's cells: each combination of the fields' values is one cell."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import RecipeError
from harness.recipe.field_errors import Complaint
from harness.recipe.labels import label
from harness.recipe.suggest import printable, shown
from harness.recipe.tree import Node, Place, split

FIELD = "grid"
"""An ablation's field: dotted recipe field -> list of values. It takes the place of `cells`."""

MOST_CELLS = 10_000
"""More are taken for a mistake."""

LONGEST_ID = 40
"""Characters of a cell's id, which is a part of its runs' names."""

_LABELS = {"contrast.queue": "queue K", "contrast.negatives": "negatives K"}
"""Labels of fields that reports otherwise show only in combination."""

Grid = Mapping[str, Sequence[Node]]
"""Dotted field -> its values."""


def with_cells(table: Node) -> Node:
    """The ablation with the cells of its `grid`; its axis and title, if absent, are the fields.

    Raises:
        RecipeError: the grid is not a list of values for each field, or has a value twice.
    """
    grid = table.get(FIELD)
    if grid is None:
        return table
    values, wrong = _values(grid), list(_wrong(grid, table))
    if wrong:
        raise RecipeError("\n".join(map(str, sorted(wrong, key=Complaint.order))))
    made = table.without(FIELD).with_("cells", Node(cells(values), grid.place))
    headings = [heading(field) for field in values]
    for field, said in (("axis", ", ".join(headings)), ("title", " × ".join(headings))):
        if field not in made.fields():
            made = made.with_(field, Node(said, grid.place))
    return made


def cells(grid: Grid) -> list[Node]:
    """Every combination as a cell, the last field varying fastest."""
    names = short_names(list(grid))
    taken: set[str] = set()
    found = []
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        parts = (f"{names[field]}={_in_id(value.plain())}" for field, value in settings.items())
        own = _fitting("-".join(parts), [value.plain() for value in values], taken)
        taken.add(own)
        place = values[0].place
        said = ", ".join(value_text(value.plain()) for value in values)
        found.append(
            Node(
                {
                    "id": Node(own, place),
                    "label": Node(said, place),
                    "set": Node(dict(settings), place),
                },
                place,
            )
        )
    return found


def short_names(fields: Sequence[str]) -> dict[str, str]:
    """Each dotted field's last part, or as many of its last parts as tell it from the others."""
    found = {}
    for field in fields:
        parts = field.split(".")
        for count in range(1, len(parts) + 1):
            short = ".".join(parts[-count:])
            if all(other == field or not f".{other}".endswith(f".{short}") for other in fields):
                break
        found[field] = short
    return found


def heading(field: str) -> str:
    """A field as the heading of a column: its label, or its path if that has none or one with
    commas, which would look like several headings."""
    try:
        words = _LABELS.get(field) or label(field)
    except KeyError:
        return field
    return field if "," in words else words


def symbol(field: str) -> str:
    """A field in front of a value: the papers' letter if its label ends with one (m, τ), else the
    heading."""
    words = heading(field)
    last = words.rpartition(" ")[2]
    return last if len(last) == 1 else words


def value_text(value: Any) -> str:
    """A value in a table: numbers in their shortest form, lists in brackets, without commas."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(value_text, value))}]"
    if isinstance(value, dict):
        return " ".join(
            value_text(each) if key == "kind" else f"{key} {value_text(each)}"
            for key, each in value.items()
        )
    return str(value).replace(", ", " ").replace(",", " ")


def same(value: Any) -> str:
    """A key that two values share if they differ only in how they are written, as 0.1 and 1e-1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{same(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(same, value)) + "]"
    return json.dumps(value)


def _values(grid: Node) -> dict[str, list[Node]]:
    return {
        field: list(node.value) for field, node in grid.children() if isinstance(node.value, list)
    }


def _wrong(grid: Node, table: Node) -> list[Complaint]:
    """What is wrong with the grid itself; the recipes of its cells are checked later."""
    found = []
    if "cells" in table.fields():
        found.append(Complaint(grid.place, FIELD, "an ablation has cells or a grid: keep one"))
    if not isinstance(grid.value, dict) or not grid.value:
        why = "needs fields with lists of values, as in {optim.lr: [0.01, 0.1]}; found "
        return [*found, Complaint(grid.place, FIELD, why + shown(grid.plain()))]
    for field, node in grid.children():
        where = f"{FIELD}.{printable(field)}"
        split(field, node.place)
        if not isinstance(node.value, list) or not node.value:
            why = f"needs a list of values, as in [0.01, 0.1]; found {shown(node.plain())}"
            found.append(Complaint(node.place, where, why))
            continue
        found += [Complaint(place, where, why) for place, why in doubled(node.value)]
    count = math.prod(
        len(node.value) for _, node in grid.children() if isinstance(node.value, list)
    )
    if count > MOST_CELLS:
        why = f"its combinations are {count:,} cells, more than {MOST_CELLS:,}: leave out values"
        found.append(Complaint(grid.place, FIELD, why))
    return found


def doubled(values: Sequence[Node]) -> list[tuple[Place, str]]:
    """(place, message) for each value that an earlier one equals."""
    seen: dict[str, Node] = {}
    found = []
    for node in values:
        first = seen.setdefault(same(node.plain()), node)
        if first is not node:
            text = value_text(node.plain())
            found.append((node.place, f"{text} is given twice, which would be one cell: keep one"))
    return found


def _in_id(value: Any) -> str:
    """A value in a cell's id, of the characters that a name may have."""
    if isinstance(value, dict):
        value = [each for pair in value.items() for each in pair if each != "kind"]
    if isinstance(value, list | tuple):
        return "_".join(map(_in_id, value))
    text = value_text(value).lower()
    return re.sub(r"[^a-z0-9._=-]+", "_", text).strip("_") or "_"


def _fitting(name: str, values: Sequence[Any], taken: set[str]) -> str:
    """The id; if it is too long, not valid or taken, shortened or replaced, with a digest of the
    cell's values."""
    name = name.lower()
    if len(name) <= LONGEST_ID and name not in taken and re.match("[a-z0-9]", name):
        return name
    told = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
    kept = name[: LONGEST_ID - len(told) - 1].rstrip("-_.=")
    return f"{kept}-{told}" if re.match("[a-z0-9]", kept) else f"cell-{told}"
