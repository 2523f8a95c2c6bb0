"""What the papers' recipes come to, defaults included, and what the quickstart's cells change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_regressions.data_regression import DataRegressionFixture

import harness
from harness.recipe.difference import difference
from harness.recipe.expand import expand
from harness.recipe.load import load_recipe, load_scale

RECIPES = Path(harness.__file__).parent.parent / "recipes"


@pytest.mark.parametrize("name", ["moco_v1_imagenet", "moco_v2_imagenet", "cifar10_demo", "gate"])
def test_a_resolved_recipe(name: str, data_regression: DataRegressionFixture) -> None:
    data_regression.check(load_recipe(RECIPES / f"{name}.yaml").model_dump(mode="json"))


def test_what_the_cells_of_an_ablation_change(data_regression: DataRegressionFixture) -> None:
    path = RECIPES / "quickstart.yaml"
    base = load_recipe(RECIPES / "miniature_embedded.yaml")
    found: dict[str, dict[str, Any]] = {}
    for member in expand(load_scale(path), path).members:
        changes = difference(base, member.recipe)
        found[f"{member.cell} {member.seed}"] = {
            field: str(now) for field, _, now in changes if not field.startswith("about")
        }
    data_regression.check(found)
