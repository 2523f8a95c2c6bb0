"""Test images of another folder: classes matched by name, and answers among those classes only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from harness import class_folders
from harness.data.datasets import open_data
from harness.data.pack import pack
from harness.data_check import check_data
from harness.errors import DataError, NoData
from harness.recipe.schema import Data

from .photo_trees import image

NAMES = ("n01", "n02", "n03")

pytestmark = pytest.mark.usefixtures("fresh")


def of(test: str | None, **changes: Any) -> Data:
    return Data(name="imagefolder", folder="imagenet", test=test, size=16, **changes)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for label, name in enumerate(NAMES):
        for part in ("train", "val"):
            for n in range(2):
                image(tmp_path / f"imagenet/{part}/{name}/{n}.png", label, n)
    return tmp_path


def test_classes_are_those_of_the_same_name(root: Path) -> None:
    for name, count in (("n03", 2), ("n01", 1)):
        for n in range(count):
            image(root / f"imagenet-r/{name}/{n}.png")
    data = open_data(of("imagenet-r"), root)
    assert data.test.labels.tolist() == [0, 2, 2]
    assert (data.classes, data.tested, len(data.bank)) == (3, (0, 2), 6)
    assert data.described["tested_classes"] == 2
    assert "imagenet-r" in data.described["name"]
    assert data.fingerprint != open_data(of(None), root).fingerprint


def test_the_training_images_may_be_packed(root: Path) -> None:
    image(root / "imagenet-r/n02/0.png")
    pack(root / "imagenet", root / "packed", side=None, tell=lambda *_: None)
    data = open_data(of("imagenet-r").model_copy(update={"folder": "packed"}), root)
    assert (data.test.labels.tolist(), data.tested) == ([1], (1,))


def test_all_classes_are_no_subset(root: Path) -> None:
    for name in NAMES:
        image(root / f"sketch/{name}/0.png")
    data = open_data(of("sketch"), root)
    assert data.tested == ()
    assert "tested_classes" not in data.described


def test_folders_called_by_numbers_are_indices(root: Path) -> None:
    names = [f"n{n:02d}" for n in range(11)]
    tested = sorted(str(n) for n in range(11))  # 0, 1, 10, 2 ...: not in the order of the numbers
    assert class_folders.matched(tested, names, root) == [int(name) for name in tested]
    for n in range(3):
        image(root / f"v2/{n}/0.png")
    assert open_data(of("v2"), root).test.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "tested",
    [
        ["n01", "n99"],
        ["0", "1"],  # indices of some classes: of which training set?
        ["1", "2", "3"],
        ["0", "1", "2", "3"],
        [],
    ],
)
def test_classes_that_do_not_match_are_refused(root: Path, tested: list[str]) -> None:
    (root / "other").mkdir()
    for name in tested:
        image(root / f"other/{name}/0.png")
    with pytest.raises(NoData, match="other"):
        open_data(of("other"), root)
    with pytest.raises(DataError, match=r"data\.test") as error:  # by the folders' names alone
        class_folders.check(root / "imagenet", root / "other")
    assert "n99" in str(error.value) or "n99" not in tested
    assert "\n" not in str(error.value)


def test_training_classes_called_by_numbers_are_matched_by_name(tmp_path: Path) -> None:
    assert class_folders.matched(["2"], ["1", "2"], tmp_path) == [1]


def test_whole_images_are_not_cut(root: Path) -> None:
    place = root / "c/noise/5/n01/0.png"
    place.parent.mkdir(parents=True)
    pixels = torch.randint(256, (16, 16, 3), dtype=torch.uint8)
    Image.fromarray(pixels.numpy()).save(place)
    whole, cut = (open_data(of("c/noise/5", test_view=v), root) for v in ("whole", "crop"))
    seen = whole.test.load(torch.tensor([0])).center(16)
    assert torch.equal((seen[0] * 255).round().to(torch.uint8), pixels.permute(2, 0, 1))
    assert not torch.equal(cut.test.load(torch.tensor([0])).center(16), seen)
    assert torch.equal(
        whole.test.subset(torch.tensor([0])).load(torch.tensor([0])).center(16), seen
    )
    assert whole.fingerprint != cut.fingerprint  # other features, of the same files


def test_broken_test_images_are_left_out_and_told(root: Path) -> None:
    for n in range(2):
        image(root / f"r/n01/{n}.png")
    (root / "r/n01/notes.txt").touch()
    (root / "r/broken.txt").write_text("n01/0.png\nn09/1.png\n")
    found = open_data(of("r"), root)
    assert len(found.test) == 1
    assert found.described["left_out"] == {"images": 1, "first": ["n01/0.png"]}
    assert list(found.described["passed_over"]) == ["test"]
    for word in ("n01/0.png", "n09/1.png", "notes.txt"):
        assert any(word in remark for remark in found.remarks), word


def test_a_plan_checks_the_names(root: Path) -> None:
    from report.build import recipe

    def says(test: str) -> tuple[bool, str]:
        made = recipe(
            data__name="imagefolder", data__folder="imagenet", data__images=None, data__test=test
        )
        (found,) = check_data([made], root)
        return found.there, found.says

    image(root / "r/n02/0.png")
    (root / "r/lost+found/deep").mkdir(parents=True)  # without an image, a run passes over it
    (root / "imagenet/train/empty").mkdir()
    (root / "r/again").symlink_to("n02")
    (root / "r/self").symlink_to(".")
    (root / "r/loop.txt").symlink_to("loop.txt")
    image(root / "r/hidden/.cache/0.png")
    image(root / "wrong/cat/0.png")
    assert says("r")[0]
    assert not says("absent")[0]
    there, why = says("wrong")
    assert not there
    assert "cat" in why
