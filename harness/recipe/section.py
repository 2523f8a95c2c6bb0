"""The base of every typed YAML section: frozen, strict, unknown fields refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A frozen section of a YAML file; validate it in JSON mode, where a list may be a tuple."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )

    @classmethod
    def completed(cls, said: Any) -> Any:
        """The values of a file with the defaults that depend on other values."""
        return said


@dataclass(frozen=True)
class Since:
    """Marks a field that was added after runs had been made without it.

    At its default it is left out of `plain`, and so of every run's identity: the ids of older runs
    do not change.

        blur_order: Annotated[int, Since("0.2")] = 0
    """

    version: str
    """The first version of the harness with this field."""


@dataclass(frozen=True)
class ByName:
    """Marks a field with a name, or a path that ends in a name. Only the name is part of
    identity."""

    absolute: bool = False
    """Only of an absolute path; a relative one is part of identity as a whole."""

    def identity(self, path: str) -> str:
        """What of the path is part of identity."""
        return path if self.absolute and not path.startswith("/") else last_part(path)


def plain(section: Section) -> dict[str, Any]:
    """The section as JSON values, defaults included. A field that was added later is left out at
    its default, and a path that ends in a name becomes the name."""
    dumped = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        named = next((mark for mark in field.metadata if isinstance(mark, ByName)), None)
        later = any(isinstance(mark, Since) for mark in field.metadata)
        if later and value == field.get_default(call_default_factory=True):
            del dumped[name]
        elif isinstance(value, str) and named is not None:
            dumped[name] = named.identity(value)
        else:
            dumped[name] = _plain(value, dumped[name])
    return dumped


def last_part(path: str) -> str:
    """The last part of a path: its name."""
    return path.rstrip("/").rpartition("/")[2]


def _plain(value: Any, dumped: Any) -> Any:
    """The dumped form of `value` without later fields at their defaults, at any depth."""
    if isinstance(value, Section):
        return plain(value)
    if isinstance(value, tuple | list):
        return [_plain(one, its) for one, its in zip(value, dumped, strict=True)]
    if isinstance(value, dict):
        pairs = zip(value.values(), dumped.items(), strict=True)
        return {key: _plain(one, its) for one, (key, its) in pairs}
    return dumped


Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]

NAME, LONGEST_NAME = r"^[a-z0-9][a-z0-9._=-]*$", 80
Name = Annotated[str, StringConstraints(pattern=NAME, max_length=LONGEST_NAME)]
"""A name that may become a folder's name: lower-case letters, digits and . _ = - inside."""


Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
"""A name that a recipe chooses, of a further task or a kind of view. Part of a dotted field."""


def refuse(found: Iterable[tuple[str, str]]) -> None:
    """Raise one error for all (dotted field, message) that a model's validator found, if any.

    Raises:
        PydanticCustomError: of type "rule", with the pairs as its context's "found".
    """
    pairs = list(found)
    if pairs:
        text = "; ".join(f"{path}: {message}" for path, message in pairs)
        raise PydanticCustomError("rule", "{text}", {"text": text, "found": pairs})
