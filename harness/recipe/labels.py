"""Labels of a recipe's fields for reports: their titles in the schema, defined only there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.recipe.schema import Recipe
from harness.recipe.schema_path import is_section, members
from harness.recipe.section import Section


def label(path: str, recipe: type[Section] = Recipe) -> str:
    """The label of a dotted field, e.g. "learning rate" for "optim.lr". For a section with several
    kinds, the label in the first kind that has the field.

    Raises:
        KeyError: the schema has no such field, or no label for it.
    """
    name, _, rest = path.partition(".")
    if not rest:
        if (title := _title(recipe, name)) is None:
            raise KeyError(path)
        return title
    kinds = [each for each in members(recipe.model_fields[name].annotation) if is_section(each)]
    having = [each for each in kinds if rest.partition(".")[0] in each.model_fields]
    if not having:
        raise KeyError(path)
    return label(rest, having[0])


def labelled(section: Section, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """(dotted field, label, JSON value) of every field; the fields of a section stand in its place.

    A field without a label, e.g. of another package's method, is shown by its path.
    """
    dumped = section.model_dump(mode="json")
    for name in type(section).model_fields:
        value, path = getattr(section, name), f"{prefix}{name}"
        if isinstance(value, Section):
            yield from labelled(value, f"{path}.")
        else:
            yield path, _title(type(section), name) or path, dumped[name]


def _title(section: type[Section], name: str) -> str | None:
    """The field's title. A field that overrides another, e.g. a method's `kind`, may inherit its
    title."""
    bases = [base for base in section.__mro__ if issubclass(base, Section)]
    titles = (base.model_fields[name].title for base in bases if name in base.model_fields)
    return next(filter(None, titles), None)
