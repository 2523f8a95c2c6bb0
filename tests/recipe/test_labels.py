"""What a reader calls the fields of a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.recipe.json_schema import json_schema
from harness.recipe.labels import label, labelled
from harness.recipe.load import load_recipe


def test_the_label_is_the_schemas_title() -> None:
    title = json_schema()["$defs"]["SgdOptim"]["properties"]["lr"]["title"]
    assert label("optim.lr") == title == "learning rate"


def test_a_field_of_one_kind_of_section_has_its_label_too() -> None:
    assert label("contrast.bank_momentum") == "momentum of the bank"


@pytest.mark.parametrize("path", ["optim.rate", "name", "model.width", "precision.none"])
def test_a_field_that_has_none(path: str) -> None:
    with pytest.raises(KeyError):
        label(path)


def test_every_leaf_with_its_label(base: Path) -> None:
    recipe = load_recipe(base, ["optim.weight_decay=0.5"])
    found = {path: (words, value) for path, words, value in labelled(recipe)}
    assert found["optim.weight_decay"] == ("weight decay", 0.5)
    assert found["contrast.kind"][0] == "mechanism", "of the field that a method overrides"
    assert found["model.width"] == ("model.width", 1), "without a label it is called by its path"
    assert "optim" not in found
