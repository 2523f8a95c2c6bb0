"""pydantic's errors as sentences: which field, at which line, what is wrong, what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from harness.recipe.ablation import Scale
from harness.recipe.schema import Recipe
from harness.recipe.schema_path import (
    SchemaPath,
    choices,
    fits,
    fixed_length,
    is_section,
    kinds,
    members,
    resolve,
)
from harness.recipe.section import NAME, Section
from harness.recipe.suggest import closest, listed, printable, shown
from harness.recipe.tree import Keys, Node, Place
from harness.recipe.yaml_source import QUOTE, QUOTE_TWICE

_NEEDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "model_type": "a section",
    "dict_type": "a section",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
_PATTERNS = {
    NAME: "lower-case letters, digits and . _ = -, starting with a letter or digit",
    r"^[a-z][a-z0-9_]*$": "lower-case letters, digits and _, starting with a letter",
}
_OTHER: dict[type[Section], type[Section]] = {Recipe: Scale, Scale: Recipe}
MOST = 100
"""The most mistakes shown at once. Nobody reads more, and each is compared with every field."""

_PLAIN_KEY = re.compile(r"[\w.=-]{1,60}")
_DIGITS = re.compile(r"\^\[0-9a-f\]\{(\d+),(\d+)\}\$")
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")
_BOOLEANS = {
    "yes": "true",
    "on": "true",
    "true": "true",
    "no": "false",
    "off": "false",
    "false": "false",
}


@dataclass(frozen=True)
class Complaint:
    """One mistake; as text, one line."""

    place: Place
    path: str
    message: str
    across: bool = False
    """Whether it is about several fields, of which another one may be the cause."""

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), self.path, self.message) if part)

    def order(self) -> tuple[bool, str, int]:
        """Sort key: files before command-line options, then by line."""
        return (self.place.line is None, self.place.source, self.place.line or 0)


@dataclass(frozen=True)
class _Wanted:
    """The accepted values: one phrase for each member of a union."""

    needs: tuple[str, ...] = ()
    names: tuple[object, ...] = ()
    """The values of the Literals among the members."""


def field_errors(
    model: type[Section], errors: Sequence[ErrorDetails], root: Node
) -> list[Complaint]:
    """All errors as complaints, sorted. Several errors about one value (members of a union) become
    one."""
    spots = [(resolve(model, error["loc"]), error) for error in errors[:MOST]]
    wanted: dict[Keys, _Wanted] = {}
    for at, error in spots:
        if (what := _needs(at, error)) is not None:
            before = wanted.get(at.keys, _Wanted())
            wanted[at.keys] = _Wanted((*before.needs, what), before.names + choices(at.type))
    misspelt = {near for at, error in spots if (near := _misspelt(at, error)) is not None}
    found = []
    for at, error in spots:
        if _echo(error) or (error["type"] == "missing" and at.keys in misspelt):
            continue
        if error["type"] == "rule":
            for path, message in error["ctx"]["found"]:
                keys = at.keys + _rule_keys(path)
                place = root.nearest(keys).place
                found.append(Complaint(place, dotted(keys), message, across=True))
            continue
        keys, message = _message(model, at, error, wanted.get(at.keys))
        place = root.nearest(keys).place
        if place.line is None:
            message = message.replace(QUOTE, QUOTE_TWICE)
        found.append(Complaint(place, dotted(keys), message))
    return sorted(dict.fromkeys(found), key=Complaint.order)


def dotted(keys: Keys) -> str:
    """`optim.lr`: the path as messages show it."""
    return ".".join(
        str(key) if isinstance(key, int) or _PLAIN_KEY.fullmatch(key) else shown(key)
        for key in keys
    )


def _message(
    model: type[Section], at: SchemaPath, error: ErrorDetails, wanted: _Wanted | None
) -> tuple[Keys, str]:
    """The path of the field to check, and what is wrong there."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "missing":
        if isinstance(at.keys[-1], int):  # one item of a range: report the range
            whole = resolve(model, error["loc"][:-1])
            return whole.keys, _wrong_length(whole, value, context)
        return at.keys, _missing(at)
    if kind == "extra_forbidden":
        return at.keys, _unknown(model, at)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_kind(at, error)
    if wanted is not None:
        field = at.owner.model_fields.get(str(at.keys[-1])) if at.owner else None
        return at.keys, _wrong_value(wanted, value, field.annotation if field else at.type)
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return at.keys, f"must be {words} {context[bound]:g}, found {shown(value)}"
    if kind in ("too_short", "too_long"):
        return at.keys, _wrong_length(at, value, context)
    if kind == "string_pattern_mismatch":
        return at.keys, f"needs {_form(context['pattern'])}; found {shown(value)}"
    if kind == "string_too_long":
        found = len(str(value))
        return at.keys, f"needs at most {context['max_length']} characters, found {found}"
    if kind == "string_too_short":
        return at.keys, "must not be empty"
    return at.keys, f"{printable(error['msg'], 200)}, found {shown(value)}"


def _form(pattern: str) -> str:
    """What a text of this pattern consists of."""
    if digits := _DIGITS.fullmatch(pattern):
        return f"{digits[1]} to {digits[2]} hexadecimal digits in lower case"
    return _PATTERNS.get(pattern, f"the form {pattern}")


def _needs(at: SchemaPath, error: ErrorDetails) -> str | None:
    """The expected value, if a wrong value is the only mistake."""
    if error["type"] == "tuple_type" and (fixed := fixed_length(at.type)) is not None:
        return f"a list of {fixed}"
    if error["type"] != "literal_error":
        return _NEEDS.get(error["type"])
    names = choices(at.type)
    return f"one of {listed(names)}" if len(names) > 1 else f"'{names[0]}'"


def _wrong_value(wanted: _Wanted, value: object, type_: Any) -> str:
    needs = " or ".join(dict.fromkeys(wanted.needs))
    message = f"needs {needs}, found {shown(value)}"
    near = closest(value, map(str, wanted.names)) if isinstance(value, str) else None
    if near is not None:
        return f"{message}, did you mean {near}?"
    hint = _hint(needs, value, type_)
    return f"{message}: {hint}" if hint else message


def _hint(needs: str, value: object, type_: Any) -> str | None:
    if needs == "true or false" and isinstance(value, str):
        boolean = _BOOLEANS.get(value.lower())
        return f"write {boolean}" if boolean else None
    if needs == "a whole number" and isinstance(value, float) and value.is_integer():
        share = float in members(type_)  # of all: a whole number would be something else
        return None if share else f"write {int(value)}"
    if needs in ("a number", "a whole number") and isinstance(value, str):
        return "remove the quotes" if _NUMBER.fullmatch(value) else None
    if needs == "text" and isinstance(value, bool | int | float):
        return QUOTE
    if needs.startswith("a list") and isinstance(value, bool | int | float | str):
        text = value if isinstance(value, str) else json.dumps(value)
        items = re.split(r"\s*,\s*|\s+", text.strip("() "))
        plain = len(text) < 1000 and all(map(_NUMBER.fullmatch, items))
        meant = [float(item) if set(item) & set(".eE") else int(item) for item in items if plain]
        if fits(type_, meant or [value]):
            return f"write [{', '.join(items) if plain else shown(value)}]"
    return None


def _wrong_length(at: SchemaPath, value: object, context: dict[str, Any]) -> str:
    found = len(value) if isinstance(value, list) else 0
    fixed = fixed_length(at.type)
    if fixed is not None:
        return f"needs {fixed} values, found {found}"
    least = context.get("min_length")
    bound = f"at least {least}" if least is not None else f"at most {context.get('max_length')}"
    return f"needs {bound} value{'' if least == 1 else 's'}, found {found}"


def _echo(error: ErrorDetails) -> bool:
    """Whether a list counts as too short only because its items failed validation."""
    value = error["input"]
    return (
        error["type"] == "too_short"
        and isinstance(value, list)
        and len(value) >= error["ctx"]["min_length"]
    )


def _misspelt(at: SchemaPath, error: ErrorDetails) -> Keys | None:
    """The field that an unknown one was probably meant to be. If that field is missing too, both
    are one mistake."""
    if error["type"] != "extra_forbidden" or at.owner is None:
        return None
    near = closest(str(at.keys[-1]), at.owner.model_fields)
    return (*at.keys[:-1], near) if near is not None else None


def _missing(at: SchemaPath) -> str:
    field = at.owner.model_fields.get(str(at.keys[-1])) if at.owner else None
    sections = [member for member in members(at.type) if is_section(member)]
    section = sections[0] if sections else None
    what = "missing section" if section is not None else "missing field"
    if len(sections) > 1:
        return f"{what}, with `kind` one of {listed(kind for s in sections for kind in kinds(s))}"
    if names := choices(at.type):
        return f"{what}: one of {listed(names)}"
    text = (field.description if field else None) or (section.__doc__ if section else None)
    return f"{what}: {text.strip().splitlines()[0]}" if text else what


def _unknown(model: type[Section], at: SchemaPath) -> str:
    """Message for an unknown field: the field probably meant, and which other sections have the
    name."""
    name = str(at.keys[-1])
    top_level = len(at.keys) == 1
    other = _OTHER.get(model) if top_level else None
    if other is not None and name in other.model_fields:
        return _of_the_other_kind(model, name)
    if "." in name and model is Recipe:
        return "unknown field: nest sections, one field per line; only --set takes dots"
    fields = list(at.owner.model_fields) if at.owner else []
    near = closest(name, fields)
    meant = [near] if near else []
    if model is Recipe:
        meant += _elsewhere(name, dotted(at.keys))
    if meant:
        return f"unknown field, did you mean {' or '.join(meant)}?"
    where = "known fields:" if top_level else f"{dotted(at.keys[:-1])} has"
    return f"unknown field; {where} {listed(fields)}"


def _of_the_other_kind(model: type[Section], name: str) -> str:
    if model is Recipe:
        return "unknown field in a recipe: it belongs in an ablation recipe (one with `ablation:`)"
    if name == "seed":
        return "unknown field in an ablation recipe: seeds belong under `seeds:`"
    return (
        f"unknown field in an ablation recipe: set {name} in the recipe that `recipe:` names, "
        "or by dotted paths in `set:`"
    )


def _elsewhere(name: str, here: str) -> Iterator[str]:
    for section, field in Recipe.model_fields.items():
        path = f"{section}.{name}"
        for member in members(field.annotation):
            if path != here and is_section(member) and name in member.model_fields:
                yield path


def _wrong_kind(at: SchemaPath, error: ErrorDetails) -> tuple[Keys, str]:
    names = [str(kind) for member in members(at.type) for kind in kinds(member)]
    keys = (*at.keys, "kind")
    if error["type"] == "union_tag_not_found":
        found = error["input"]
        near = closest("kind", map(str, found)) if isinstance(found, dict) else None
        if near is not None:
            return (*at.keys, near), "unknown field, did you mean kind?"
        return keys, f"missing field: one of {listed(names)}"
    tag = str(error["ctx"]["tag"])
    near = closest(tag, names)
    meant = f", did you mean {near}?" if near else ""
    return keys, f"needs one of {listed(names)}, found {shown(tag)}{meant}"


def _rule_keys(path: str) -> Keys:
    return tuple(int(part) if part.isdecimal() else part for part in path.split(".") if part)
