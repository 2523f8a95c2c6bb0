"""The base of every typed YAML section: frozen, strict, unknown fields refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints
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


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._=-]*$", max_length=80)]
"""What may become a folder's name: lower-case letters, digits and . _ = - inside."""


def refuse(found: Iterable[tuple[str, str]]) -> None:
    """Raise one error for all (dotted field, message) that a model's validator found; none: pass.

    Raises:
        PydanticCustomError: of type "rule", with the pairs as its context's "found".
    """
    pairs = list(found)
    if pairs:
        text = "; ".join(f"{path}: {message}" for path, message in pairs)
        raise PydanticCustomError("rule", "{text}", {"text": text, "found": pairs})
