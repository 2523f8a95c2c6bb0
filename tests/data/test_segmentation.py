"""The data sets with masks: their layouts, labels, lists and what is missing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from data import mask_layouts as layouts
from PIL import Image

from harness.data import cityscapes, voc_masks
from harness.data.embedded import CLASSES as FIGURES
from harness.data.scenes import scene
from harness.data.segmentation import open_segmentation
from harness.errors import DataError, NoData


@pytest.fixture
def scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of scipy, what reads numpy's arrays into SBD's structure."""

    def loadmat(path: str) -> dict[str, Any]:
        return {"GTcls": np.array([[(np.load(path),)]], dtype=[("Segmentation", object)])}

    package, io = ModuleType("scipy"), ModuleType("scipy.io")
    io.loadmat = loadmat  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scipy", package)
    monkeypatch.setitem(sys.modules, "scipy.io", io)


def test_scenes_have_the_background_and_the_figures_as_classes(tmp_path: Path) -> None:
    data = open_segmentation("scenes", tmp_path, images=5, tested=3, size=32)
    assert data.classes == ("background", *FIGURES)
    assert (len(data.train), len(data.test)) == (5, 3)
    for split, part in (("train", data.train), ("test", data.test)):
        image, mask = part.pair(2)
        drawn = scene(split, 2, 32)  # type: ignore[arg-type]
        assert torch.equal(image, drawn.image)
        assert torch.equal(mask, drawn.semantic)
    assert data.train.size(4) == (32, 32)
    again = open_segmentation("scenes", tmp_path, images=5, tested=3, size=32)
    fewer = open_segmentation("scenes", tmp_path, images=4, tested=3, size=32)
    assert data.fingerprint == again.fingerprint != fewer.fingerprint
    assert data.described["train"] == 5


def test_voc_is_read_in_its_layout(tmp_path: Path) -> None:
    layouts.voc2012(tmp_path)
    data = open_segmentation("voc2012", tmp_path)
    assert (len(data.train), len(data.test), len(data.classes)) == (3, 2, 21)
    image, mask = data.train.pair(1)
    assert torch.equal(mask, layouts.semantic(1))
    assert (image.float() - scene("train", 1).image).abs().mean() < 8  # a JPEG file


def test_voc_2007_trains_on_trainval_and_tests_on_test(tmp_path: Path) -> None:
    folder = layouts.voc2012(tmp_path)
    lists = folder / "ImageSets" / "Segmentation"
    (lists / "train.txt").rename(lists / "trainval.txt")
    (lists / "val.txt").rename(lists / "test.txt")
    folder.rename(folder.with_name("VOC2007"))
    data = open_segmentation("voc2007", tmp_path)
    assert (len(data.train), len(data.test)) == (3, 2)


def test_fewer_training_images_are_a_fixed_subset(tmp_path: Path) -> None:
    layouts.voc2012(tmp_path, train=6)
    some = open_segmentation("voc2012", tmp_path, images=4)
    assert len(some.train) == 4
    assert some.fingerprint == open_segmentation("voc2012", tmp_path, images=4).fingerprint
    assert some.fingerprint != open_segmentation("voc2012", tmp_path).fingerprint
    with pytest.raises(NoData, match=r"7.*only 6"):
        open_segmentation("voc2012", tmp_path, images=7)


def test_a_class_beyond_the_list_is_refused(tmp_path: Path) -> None:
    layouts.voc2012(tmp_path)
    many = int(layouts.semantic(0).max())
    assert voc_masks.voc(tmp_path, 2012, "train", many + 1).pair(0)[1].max() == many
    with pytest.raises(DataError, match=f"label {many}.*000001.jpg"):
        voc_masks.voc(tmp_path, 2012, "train", many).pair(0)


def test_train_aug_is_train_and_sbd_without_val(tmp_path: Path, scipy: None) -> None:  # noqa: ARG001
    voc = layouts.voc2012(tmp_path)
    lists = voc / "ImageSets" / "Segmentation"
    train, val = ((lists / f"{part}.txt").read_text().split() for part in ("train", "val"))
    layouts.sbd(tmp_path, voc, ["2008_1", train[1], val[0]], ["2008_0", val[1]])
    data = open_segmentation("voc2012_aug", tmp_path)
    files, remarks = voc_masks.train_aug(tmp_path)
    assert [each.image.stem for each in files.files] == [*train, "2008_0", "2008_1"]
    assert torch.equal(data.train.pair(1)[1], layouts.semantic(1))  # VOC's own mask
    assert bool((data.train.pair(3)[1] == 7).all())
    assert len(data.test) == 2
    assert data.remarks == remarks
    assert "10,582" in remarks[0]


def test_a_damaged_mat_file_is_named(tmp_path: Path, scipy: None) -> None:  # noqa: ARG001
    voc = layouts.voc2012(tmp_path)
    folder = layouts.sbd(tmp_path, voc, ["2008_1"], ["2008_0"])
    (folder / "cls" / "2008_0.mat").write_bytes(b"nothing")
    files, _ = voc_masks.train_aug(tmp_path)
    with pytest.raises(DataError, match=r"2008_0\.mat"):
        files.pair(3)


def test_without_scipy_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts.sbd(tmp_path, layouts.voc2012(tmp_path), ["2008_1"], ["2008_0"])
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(NoData, match=r"scipy.*sbd"):
        open_segmentation("voc2012_aug", tmp_path)


def test_scipy_reads_a_mat_file(tmp_path: Path) -> None:
    io = pytest.importorskip("scipy.io")
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    content = {"Boundaries": [], "Segmentation": labels, "CategoriesPresent": [1]}
    io.savemat(tmp_path / "one.mat", {"GTcls": content})
    assert voc_masks.read_mat(tmp_path / "one.mat").tolist() == labels.tolist()


def test_cityscapes_labels_become_the_19_of_its_benchmark(tmp_path: Path) -> None:
    layouts.cityscapes(tmp_path)
    data = open_segmentation("cityscapes", tmp_path)
    assert (len(data.train), len(data.test), len(data.classes)) == (2, 1, 19)
    found = data.test.pair(0)[1][0].tolist()
    published = {
        **{7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole"},
        **{19: "traffic light", 20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky"},
        **{24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train"},
        **{32: "motorcycle", 33: "bicycle"},
    }
    named = {n: cityscapes.CLASSES[label] for n, label in enumerate(found) if label != 255}
    assert named == published


def test_cityscapes_images_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    layouts.cityscapes(tmp_path)
    files = cityscapes.cityscapes(tmp_path, "train").files
    assert [each.mask.parent.name for each in files] == ["aachen", "bonn"]


def test_a_label_that_cityscapes_lacks_is_refused(tmp_path: Path) -> None:
    masks = layouts.cityscapes(tmp_path)
    (path,) = (masks / "val").glob("*/*")
    Image.fromarray(np.full((4, 34), 34, dtype=np.uint8)).save(path)
    with pytest.raises(DataError, match=f"{path.name}.*label 34"):
        open_segmentation("cityscapes", tmp_path).test.pair(0)


def test_a_cityscapes_image_without_a_mask_is_named(tmp_path: Path) -> None:
    masks = layouts.cityscapes(tmp_path)
    (path,) = (masks / "val").glob("*/*")
    path.rename(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
    with pytest.raises(NoData, match=f"{path.name}.*labelIds"):
        open_segmentation("cityscapes", tmp_path)


@pytest.mark.parametrize("name", ["voc2007", "voc2012", "voc2012_aug", "cityscapes"])
def test_another_layout_is_one_line_with_the_folder(tmp_path: Path, name: Any) -> None:
    with pytest.raises(NoData, match=str(tmp_path)) as wrong:
        open_segmentation(name, tmp_path)
    assert "\n" not in str(wrong.value)


def test_detection_alone_has_no_masks(tmp_path: Path) -> None:
    folder = layouts.voc2012(tmp_path)
    shutil.rmtree(folder / "SegmentationClass")
    with pytest.raises(NoData, match="VOC2012: lacks SegmentationClass"):
        open_segmentation("voc2012", tmp_path)


def test_sbd_is_asked_for(tmp_path: Path) -> None:
    layouts.voc2012(tmp_path)
    with pytest.raises(NoData, match="sbd"):
        open_segmentation("voc2012_aug", tmp_path)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xfa", b"000001\n000002\n000001\n"])
def test_a_list_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = layouts.voc2012(tmp_path) / "ImageSets" / "Segmentation" / "train.txt"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NoData, match=str(path)):
        open_segmentation("voc2012", tmp_path)


def test_an_image_without_a_mask_is_named_with_its_list(tmp_path: Path) -> None:
    folder = layouts.voc2012(tmp_path)
    (folder / "SegmentationClass" / "000002.png").unlink()
    with pytest.raises(NoData, match=r"train\.txt: 1 of its 3 .*000002\.png"):
        open_segmentation("voc2012", tmp_path)
