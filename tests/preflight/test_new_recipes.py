"""The recipes that `recipes new` writes give no warning, for any number of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.preflight.recipe_file import of_recipe
from harness.preflight.sizes import Size
from harness.recipe.commented import commented
from harness.recipe.fitted import (
    FEWEST,
    LEAST_BATCH,
    QUEUE_STEPS,
    Facts,
    Watched,
    settings,
)
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


@pytest.mark.parametrize("first", range(FEWEST, 600, 25))
def test_no_warning_for_few_images(first: int) -> None:
    assert [n for n in range(first, first + 25, 3) if warned(n, labelled=False)] == []


def test_the_fewest_images_are_those_for_which_a_queue_fits() -> None:
    """With one less, the shortest queue that lasts is too large a share."""
    longest = QUEUE_STEPS * LEAST_BATCH
    for images, fits in ((FEWEST, True), (FEWEST - 1, False)):
        text = commented(settings(Facts(FEWEST, 200, 10), PICTURES), ["Head."])
        assert f"queue: {longest}\n" in text
        recipe = check(Recipe, recipe_node(Path("x.yaml"), parse(text, "x.yaml")))
        found = {each.key for each in of_recipe(recipe, lambda _, n=images: Size(n, 10)).warnings}  # type: ignore[misc]
        assert found == (set() if fits else {"own-image-negatives"})


def warned(images: int, *, labelled: bool) -> set[str]:
    if labelled:
        found = settings(Facts(images, 200, 10, images // 10, images // 9), CLASSES)
    else:
        found = settings(Facts(images, 200, 10), PICTURES, watched=CIFAR)
    text = commented(found, ["Head."])
    recipe = check(Recipe, recipe_node(Path("x.yaml"), parse(text, "x.yaml")))
    return {each.key for each in of_recipe(recipe, lambda _: Size(images, 10)).warnings}
