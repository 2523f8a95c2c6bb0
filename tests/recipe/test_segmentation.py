"""The section of segmentation: more images a step than there are scenes."""

from __future__ import annotations

import pytest

from harness.errors import RecipeError
from harness.recipe.load import load_recipe

from .conftest import BASE, Write


@pytest.mark.parametrize(
    ("name", "more", "batch", "fits"),
    [
        ("scenes", "", 100, True),
        ("scenes", "", 101, False),
        ("scenes", ", images: 16", 16, True),
        ("scenes", ", images: 16", 17, False),
        ("voc2012", ", images: 16", 16, True),
    ],
)
def test_a_step_takes_no_more_images_than_there_are(
    write: Write, name: str, more: str, batch: int, fits: bool
) -> None:
    masks = f"{{name: {name}{more}}}"
    task = f"kind: segmentation, masks: {masks}, crop: 29, steps: 1, lr: 0.1, batch: {batch}"
    path = write("x.yaml", f"{BASE}tasks:\n  seg: {{{task}, schedule: {{kind: constant}}}}\n")
    if fits:
        assert load_recipe(path).tasks["seg"].inputs() == {"masks": name}
    else:
        with pytest.raises(RecipeError, match=r"x\.yaml:14: tasks\.seg\.batch: "):
            load_recipe(path)
