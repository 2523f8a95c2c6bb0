"""The recipes' fields as a JSON Schema, for completion and checks in an editor.

An editor finds it through a recipe's first line, `# yaml-language-server: $schema=schema.json`.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import models_json_schema

from harness.recipe.ablation import Scale
from harness.recipe.recipe_list import RecipeList
from harness.recipe.schema import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"

TITLE = "moco-harness recipe"

Schema = dict[str, Any]


def render() -> str:
    """The schema as text. The same fields give the same text."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def json_schema() -> Schema:
    """One schema for the files of recipes/. A file with `ablation` is an ablation recipe, one with
    `recipes` is a list, any other is a recipe. With `extends` no field is required, and without
    `ablation` it may be either kind of recipe."""
    models = (Recipe, Scale, RecipeList)
    _, schema = models_json_schema([(model, "validation") for model in models])
    whole: Schema = schema["$defs"]
    recipe, scale, listing = (whole[model.__name__] for model in models)
    for named, kind in ((recipe, "recipe"), (scale, "ablation recipe")):
        named["properties"]["extends"] = {
            "type": "string",
            "minLength": 1,
            "description": f"Another {kind} whose fields this one changes: a path relative to this "
            "file, or a shipped one's name.",
        }
    for field, held in (("ablation", {"type": "object"}), ("recipe", _reference("PartialRecipe"))):
        own = scale["properties"][field]
        told = {key: own.pop(key) for key in ("title", "description") if key in own}
        scale["properties"][field] = {"anyOf": [own, held], **told}
    for named in (recipe, scale, listing):
        named["properties"]["name"]["description"] = "Names the runs; by default the file's name."
        named["required"].remove("name")
    listing["properties"]["name"]["description"] = "By default the file's name."
    partial = {f"Partial{name}": _partial(definition) for name, definition in whole.items()}
    partial["PartialRecipe"]["properties"]["about"] = recipe["properties"]["about"]  # not inherited
    return {
        "$schema": DIALECT,
        "title": TITLE,
        "if": {"required": ["ablation"]},
        "then": {
            "if": {"required": ["extends"]},
            "then": _reference("PartialScale"),
            "else": _reference("Scale"),
        },
        "else": {
            "if": {"required": ["recipes"]},
            "then": _reference("RecipeList"),
            "else": {
                "if": {"required": ["extends"]},
                "then": {"anyOf": [_reference("PartialRecipe"), _reference("PartialScale")]},
                "else": _reference("Recipe"),
            },
        },
        "$defs": whole | _reachable("PartialRecipe", partial) | _reachable("PartialScale", partial),
    }


def _partial(schema: Any) -> Any:
    """The schema with no required field, at any depth: a missing field comes from the base."""
    if isinstance(schema, list):
        return [_partial(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "oneOf" in schema:  # without `kind`, a mapping may fit several members
        return {"anyOf": _partial(schema["oneOf"])}
    return {
        key: _to_partial(value) if key == "$ref" else _partial(value)
        for key, value in schema.items()
        if key != "required"
    }


def _to_partial(reference: str) -> str:
    whole = "#/$defs/"
    return (
        reference
        if reference.startswith(f"{whole}Partial")
        else f"{whole}Partial{reference.removeprefix(whole)}"
    )


def _reachable(name: str, definitions: dict[str, Schema]) -> dict[str, Schema]:
    """The definition and every definition that it refers to."""
    found: dict[str, Schema] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = definitions[name]
            waiting += [other for other in definitions if _refers(definitions[name], other)]
    return found


def _refers(schema: Schema, name: str) -> bool:
    return f'"{_reference(name)["$ref"]}"' in json.dumps(schema)


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
