"""Thumbnails and names of classes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from harness.data.images import Files, Stack
from harness.look.images import SIDE, class_names, png


def files(*names: str, labels: tuple[int, ...]) -> Files:
    return Files([Path("/set") / name for name in names], torch.tensor(labels), [1] * len(names))


def test_an_image_folder_names_its_classes() -> None:
    parts = [files("cat/1.jpg", "dog/1.jpg", labels=(0, 2)), files("cat/9.jpg", labels=(0,))]
    assert class_names("imagefolder", 3, parts) == ["cat", "class 1", "dog"]


def test_a_class_may_hold_folders() -> None:
    for split in ("train/", ""):
        names = [f"{split}{name}" for name in ("cat/a/1.jpg", "cat/b/2.jpg", "dog/a/1.jpg")]
        paths = [Path("/set") / name for name in names]
        images = Files(paths, torch.tensor((0, 0, 1)), [1] * 3, Path("/set"))
        assert class_names("imagefolder", 2, [images]) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("images/1.jpg", "images/2.jpg"), (0, 1)),
        (("a/1.jpg", "b/2.jpg", "c/3.jpg"), (0, 0, 1)),
    ],
    ids=["one folder for all", "two folders of a class"],
)
def test_folders_that_are_no_classes_name_none(
    names: tuple[str, ...], labels: tuple[int, ...]
) -> None:
    assert class_names("pets", 2, [files(*names, labels=labels)]) == ["class 0", "class 1"]


def test_known_sets_have_their_names() -> None:
    empty = [Stack(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.long))]
    assert class_names("cifar10", 10, empty)[3] == "cat"
    assert class_names("stl10", 10, empty)[7] == "monkey"
    assert class_names("embedded", 10, empty)[0] == "disc"
    assert class_names("cifar100", 100, empty)[57] == "class 57"


@pytest.mark.parametrize(("size", "kept"), [(24, (24, 24)), (224, (SIDE, SIDE))])
def test_a_thumbnail_is_small_and_of_the_same_colour(size: int, kept: tuple[int, int]) -> None:
    image = torch.tensor([0.2, 0.4, 1.7]).view(3, 1, 1).expand(3, size, size)
    made = Image.open(io.BytesIO(png(image)))
    assert made.size == kept
    assert made.getpixel((0, 0)) == (51, 102, 255)
