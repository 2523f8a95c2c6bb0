"""The section that names a detector's data."""

from __future__ import annotations

import pytest

from harness.recipe.detection import BOX_FOLDERS, Boxes, BoxName


@pytest.mark.parametrize("name", BOX_FOLDERS)
def test_only_scenes_have_a_size_and_a_number_of_test_images(name: BoxName) -> None:
    wrong = [
        field for field, _ in Boxes(name=name, size=48, tested=9).complaints("tasks.det.boxes")
    ]
    fields = ["tasks.det.boxes.tested", "tasks.det.boxes.size"]
    assert wrong == ([] if name == "scenes" else fields)
    assert list(Boxes(name=name, images=9).complaints("tasks.det.boxes")) == []
