"""Find the place in the schema of a pydantic error: follow its `loc` through the annotations."""

from __future__ import annotations

import json
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import TypeAdapter

from harness.recipe.section import Section
from harness.recipe.tree import Keys


@dataclass(frozen=True)
class SchemaPath:
    """The place that an error's `loc` names. For a union, `loc` also holds the member's name, which
    is no key of the file: `keys` leaves it out."""

    keys: Keys
    owner: type[Section] | None
    """The section that has, or lacks, the last key."""
    type: Any
    """The annotation that the value was checked against."""


def resolve(model: type[Section], loc: tuple[int | str, ...]) -> SchemaPath:
    """The place in `model` that `loc` names."""
    keys: list[int | str] = []
    owner: type[Section] | None = None
    kind: Any = model
    for part in loc:
        alternatives = members(kind)
        if len(alternatives) > 1:
            kind = _member(alternatives, str(part))
            continue
        keys.append(part)
        owner = alternatives[0] if is_section(alternatives[0]) else None
        kind = _child(alternatives[0], part)
    return SchemaPath(tuple(keys), owner, kind)


def members(annotation: Any) -> list[Any]:
    """The members of a union other than None; a list of one for any other type."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return [m for arg in get_args(annotation) if arg is not type(None) for m in members(arg)]
    return [annotation]


def choices(annotation: Any) -> tuple[Any, ...]:
    """The values of a Literal, or of all those in a union; none for any other type."""
    literals = (member for member in members(annotation) if get_origin(member) is Literal)
    return tuple(value for member in literals for value in get_args(member))


def kinds(member: Any) -> tuple[Any, ...]:
    """The values of the field `kind` that select this member of a union."""
    field = member.model_fields.get("kind") if is_section(member) else None
    return choices(field.annotation) if field is not None else ()


def fixed_length(annotation: Any) -> int | None:
    """The number of items of a tuple such as a range; None for any other type."""
    member = members(annotation)[0]
    arguments = get_args(member)
    return None if get_origin(member) is not tuple or Ellipsis in arguments else len(arguments)


def fits(annotation: Any, value: Any) -> bool:
    """Whether the type accepts the JSON value."""
    try:
        TypeAdapter(annotation).validate_json(json.dumps(value), strict=True)
    except ValueError:
        return False
    return True


def is_section(kind: Any) -> TypeGuard[type[Section]]:
    """Whether the type is a section of fields."""
    return isinstance(kind, type) and issubclass(kind, Section)


def _member(alternatives: list[Any], tag: str) -> Any:
    for member in alternatives:
        if tag in kinds(member) or (tag.startswith("literal[") and choices(member)):
            return member
    return None


def _child(kind: Any, part: int | str) -> Any:
    if is_section(kind):
        field = kind.model_fields.get(str(part))
        return field.annotation if field else None
    arguments = get_args(kind)
    if get_origin(kind) is tuple and isinstance(part, int):
        if Ellipsis in arguments:
            return arguments[0]
        return arguments[part] if part < len(arguments) else None
    return arguments[1] if get_origin(kind) is dict else None
