"""YAML values with their file and line, and how one file's values are merged over another's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import RecipeError
from harness.recipe.suggest import printable

Keys = tuple[str | int, ...]
Scalar = str | int | float | bool | None

MAX_DEPTH = 32
"""Maximum levels of nesting; a recipe needs five."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was given: a file and a line, or an option of the command line."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place; in a mapping, the place is the key's."""

    value: Scalar | dict[str, Node] | list[Node]
    place: Place

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def places(self, at: Keys = ()) -> dict[Keys, Place]:
        """The place of this value and of every value below it, by path."""
        found = {at: self.place}
        for key, child in self._children():
            found |= child.places((*at, key))
        return found

    def get(self, *keys: str | int) -> Node | None:
        """The node at exactly this path, or None."""
        node: Node | None = self
        for key in keys:
            node = node._child(key) if node is not None else None
        return node

    def nearest(self, keys: Keys) -> Node:
        """The node at this path, or its nearest ancestor that exists."""
        node = self
        for key in keys:
            child = node._child(key)
            if child is None:
                break
            node = child
        return node

    def fields(self) -> set[str]:
        """The keys of a mapping; empty for anything else."""
        return set(self.value) if isinstance(self.value, dict) else set()

    def children(self) -> list[tuple[str, Node]]:
        """A mapping's fields in the file's order; none for anything else."""
        return list(self.value.items()) if isinstance(self.value, dict) else []

    def without(self, *keys: str) -> Node:
        """This mapping without some keys."""
        if not isinstance(self.value, dict):
            return self
        return Node({k: v for k, v in self.value.items() if k not in keys}, self.place)

    def with_(self, key: str, child: Node) -> Node:
        """This mapping with one key set."""
        assert isinstance(self.value, dict)
        return Node({**self.value, key: child}, self.place)

    def _child(self, key: str | int) -> Node | None:
        if isinstance(self.value, dict) and isinstance(key, str):
            return self.value.get(key)
        if isinstance(self.value, list) and isinstance(key, int) and 0 <= key < len(self.value):
            return self.value[key]
        return None

    def _children(self) -> Iterable[tuple[str | int, Node]]:
        if isinstance(self.value, dict):
            return self.value.items()
        return enumerate(self.value) if isinstance(self.value, list) else ()


def placed(value: Any, place: Place) -> Node:
    """Plain values as a node; all of them get the same `place`."""
    if isinstance(value, dict):
        return Node({key: placed(child, place) for key, child in value.items()}, place)
    if isinstance(value, list | tuple):
        return Node([placed(child, place) for child in value], place)
    return Node(value, place)


def merge(base: Node, child: Node) -> Node:
    """`child` merged over `base`: mappings merge key by key, anything else is replaced.

    A mapping of another `kind` replaces the whole mapping of the base: the fields of a step
    schedule have no meaning in a cosine schedule.
    """
    if not isinstance(base.value, dict) or not isinstance(child.value, dict):
        return child
    if _another_kind(base.value, child.value):
        return child
    merged = dict(base.value)
    for key, node in child.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(merged, base.place)


def overlay(settings: Sequence[tuple[str, Node]], place: Place) -> Node:
    """Dotted paths and values as one nested mapping, to be merged over a recipe. Later ones win.

    All settings are applied together. So `optim.schedule.kind` and the fields of the new kind can
    be given one by one and in any order. Raises RecipeError for an invalid path.
    """
    root = Node({}, place)
    for path, node in settings:
        for key in reversed(split(path, node.place)):
            node = Node({key: node}, node.place)
        root = merge(root, node)
    return Node(root.value, place)


def split(path: str, place: Place) -> list[str]:
    """`optim.lr` -> its parts. Raises RecipeError for an invalid path."""
    parts = path.split(".")
    sound = all(part and part == part.strip() and part.isprintable() for part in parts)
    if not sound or len(parts) > MAX_DEPTH:
        raise RecipeError(
            f"{place}: '{printable(path)}' is not a field: write section.field, as in optim.lr"
        )
    return parts


def _another_kind(base: dict[str, Node], child: dict[str, Node]) -> bool:
    return "kind" in base and "kind" in child and base["kind"].value != child["kind"].value
