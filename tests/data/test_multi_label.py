"""Data sets whose images show several classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision.transforms.functional as vision
from PIL import Image

from harness.data.embedded import CLASSES as FIGURES
from harness.data.multi_label import MultiLabel, open_multi_label
from harness.data.scenes import SIDES, scene
from harness.data.voc_boxes import CLASSES
from harness.data.voc_labels import PRESENT
from harness.errors import NoData
from harness.recipe.svm import SCENE_SIDES, LabelledImages

from .voc_layout import annotation, voc2007


def opened(root: Path, size: int = 32, **asked: Any) -> MultiLabel:
    return open_multi_label(LabelledImages.model_validate(asked), root, size)


def test_scenes_have_the_labels_of_their_figures() -> None:
    data = opened(Path("/nonexistent"), name="scenes", images=90, tested=80)
    assert data.classes == FIGURES
    assert (data.train.shape, data.test.shape) == ((90, 10), (80, 10))
    for split, images, labels in (
        ("train", data.images.train, data.train),
        ("test", data.images.test, data.test),
    ):
        drawn = scene(split, 7, 32)  # type: ignore[arg-type]
        shown = (labels[7] == PRESENT).nonzero()[:, 0].tolist()
        assert shown == sorted(set(drawn.labels.tolist()))
        pixels = images.load(torch.tensor([7])).center(32)[0]
        assert torch.equal((pixels * 255).round().byte(), drawn.image)


def test_voc_is_trained_on_trainval_and_tested_on_test(tmp_path: Path) -> None:
    voc2007(tmp_path, 130, 120)
    data = opened(tmp_path)
    assert data.classes == CLASSES
    assert (len(data.images.train), len(data.images.test)) == (130, 120)
    assert (data.train.shape, data.test.shape) == ((130, 20), (120, 20))
    assert data.described["name"] == "voc2007"
    fingerprint = data.images.fingerprint
    assert opened(tmp_path).images.fingerprint == fingerprint
    annotation(tmp_path / "VOCdevkit" / "VOC2007", "000001", ("cat", 0), ("dog", 0), ("cow", 1))
    assert opened(tmp_path).images.fingerprint != fingerprint


@pytest.mark.parametrize("view", ["stretch", "crop"])
def test_voc_is_seen_whole_or_its_centre(tmp_path: Path, view: str) -> None:
    folder = voc2007(tmp_path, 130, 120)
    columns = torch.arange(90, dtype=torch.uint8).expand(3, 60, 90) * 2
    place = folder / "JPEGImages" / "000001.jpg"
    Image.fromarray(columns.permute(1, 2, 0).contiguous().numpy()).save(place, quality=100)
    images = opened(tmp_path, size=56, view=view).images.train
    assert images.view == ("center" if view == "crop" else "stretch")
    found = images.subset(torch.arange(3)).load(torch.tensor([0])).center(56)[0]
    picture = vision.resize(Image.open(place).convert("RGB"), 64)
    whole = vision.resize(picture, [56, 56]) if view == "stretch" else picture.crop((20, 4, 76, 60))
    assert torch.equal((found * 255).round().byte(), vision.pil_to_tensor(whole))
    spread = float(found[0, 28, -1] - found[0, 28, 0]) * 255
    assert spread == pytest.approx(176 if view == "stretch" else 104, abs=6)


def test_a_class_that_no_image_shows_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoData, match=r"of the 3 test images of scenes no image shows \w+"):
        opened(tmp_path, name="scenes", images=90, tested=3)


def test_a_class_that_every_image_shows_is_named(tmp_path: Path) -> None:
    folder = voc2007(tmp_path, 130, 120)
    for n, place in enumerate(sorted((folder / "Annotations").iterdir())):
        annotation(folder, place.stem, ("cat", 0), (CLASSES[n % 20], 0))
    with pytest.raises(NoData, match="of the 130 training images of voc2007 every image shows cat"):
        opened(tmp_path)


def test_scenes_have_a_least_and_a_largest_side(tmp_path: Path) -> None:
    assert SCENE_SIDES == SIDES
    with pytest.raises(NoData, match="size: scenes are 24 to 181 pixels wide, not 16"):
        opened(tmp_path, size=16, name="scenes")


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    place = voc2007(tmp_path, 130, 120) / "JPEGImages" / "000003.jpg"
    place.unlink()
    place.symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(NoData, match=r"JPEGImages/000003\.jpg"):
        opened(tmp_path)
