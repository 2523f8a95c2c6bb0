"""The recipes that `recipes new` writes give no warning, unless there are too few images for any
queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.preflight.recipe_file import of_recipe
from harness.preflight.sizes import Size
from harness.recipe.commented import commented
from harness.recipe.fitted import FEWEST, Facts, Watched, settings
from harness.recipe.load import recipe_node
from harness.recipe.schema import Recipe
from harness.recipe.validate import check
from harness.recipe.yaml_source import parse

CIFAR = Watched({"name": "cifar10"}, 50_000, 5_000)
PICTURES: dict[str, Any] = {"name": "pictures", "folder": "photos"}
CLASSES: dict[str, Any] = {"name": "imagefolder", "folder": "pets", "split": 0.1}


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("images", [300, 1_000, 4_095, 30_000, 150_000, 1_280_000])
def test_no_warning(images: int, labelled: bool) -> None:
    assert warned(images, labelled=labelled) == set()


def test_too_few_images_for_a_queue_are_warned_of() -> None:
    assert warned(FEWEST, labelled=False) == {"own-image-negatives", "queue-turnover"}


def warned(images: int, *, labelled: bool) -> set[str]:
    if labelled:
        found = settings(Facts(images, 200, 10, images // 10, images // 9), CLASSES)
    else:
        found = settings(Facts(images, 200, 10), PICTURES, watched=CIFAR)
    text = commented(found, ["Head."])
    recipe = check(Recipe, recipe_node(Path("x.yaml"), parse(text, "x.yaml")))
    return {each.key for each in of_recipe(recipe, lambda _: Size(images, 10)).warnings}
