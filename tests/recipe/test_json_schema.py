from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from harness.recipe.ablation import Scale
from harness.recipe.json_schema import DIALECT, json_schema, render
from harness.recipe.schema import Recipe


def mappings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, dict | list):
            yield from mappings(child)


def test_rendered_text_is_the_schema_and_stable() -> None:
    assert render() == render()
    assert render().endswith("}\n")
    assert json.loads(render()) == json_schema()
    assert json_schema()["$schema"] == DIALECT


def test_every_reference_resolves() -> None:
    schema = json_schema()
    references = {m["$ref"] for m in mappings(schema) if isinstance(m.get("$ref"), str)}
    assert references >= {"#/$defs/Recipe", "#/$defs/Scale", "#/$defs/PartialRecipe"}
    assert {reference.removeprefix("#/$defs/") for reference in references} == set(schema["$defs"])


def test_fields_and_descriptions_are_the_models() -> None:
    defined = json_schema()["$defs"]
    assert set(defined["Recipe"]["properties"]) == {*Recipe.model_fields, "extends"}
    assert set(defined["Scale"]["properties"]) == {*Scale.model_fields, "extends"}
    assert "v1: 0.03 at batch 256" in defined["SgdOptim"]["properties"]["lr"]["description"]
    assert defined["SgdOptim"]["additionalProperties"] is False
    assert "name" not in defined["Recipe"]["required"], "the file's name is the default"


def test_an_extending_recipe_requires_nothing_of_what_is_inherited() -> None:
    defined = json_schema()["$defs"]
    for name in ("PartialRecipe", "PartialSgdOptim", "PartialSteps", "PartialData"):
        assert "required" not in defined[name]
    assert "required" in defined["SgdOptim"]
    assert defined["PartialRecipe"]["properties"]["about"]["$ref"] == "#/$defs/About"
    assert "oneOf" not in defined["PartialSgdOptim"]["properties"]["schedule"]
