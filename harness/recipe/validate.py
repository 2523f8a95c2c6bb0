"""Validate values from a YAML file against a typed section; mistakes come with file and line."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import ValidationError

from harness.errors import RecipeError
from harness.recipe.field_errors import Complaint, field_errors
from harness.recipe.section import Section
from harness.recipe.tree import Node

S = TypeVar("S", bound=Section)


def check(model: type[S], node: Node) -> S:
    """The node as a `model`. Raises RecipeError with all complaints, one a line."""
    found = validate(model, node)
    if isinstance(found, list):
        raise RecipeError("\n".join(str(complaint) for complaint in found))
    return found


def validate(model: type[S], node: Node) -> S | list[Complaint]:
    """The node as a `model`, or what is wrong with it."""
    try:
        said = model.completed(node.plain())
        return model.model_validate_json(json.dumps(said, allow_nan=False))
    except ValidationError as error:
        return field_errors(model, error.errors(include_url=False), node)
