"""The data sets with boxes: which images they hold, fingerprints, and what is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data import box_layouts as layouts
from data.box_layouts import edited, replaced

from harness.data.detection import open_detection
from harness.data.embedded import CLASSES as FIGURES
from harness.data.instances import RunLengths
from harness.data.scenes import scene
from harness.data.voc_boxes import CLASSES
from harness.errors import NoData


def test_scenes(tmp_path: Path) -> None:
    data = open_detection("scenes", tmp_path, images=5, tested=3, size=32)
    assert (data.classes, len(data.train), len(data.test)) == (FIGURES, 5, 3)
    one, drawn = data.test.images[2], scene("test", 2, 32)
    assert one.instances.boxes.tolist() == drawn.boxes.tolist()
    assert one.instances.labels.tolist() == drawn.labels.tolist()
    for outline, mask in zip(one.instances.outlines, drawn.masks, strict=True):
        assert isinstance(outline, RunLengths)
        assert np.array_equal(outline.mask(), mask.numpy())
    pixels = torch.from_numpy(np.asarray(data.test.picture(2)).copy()).permute(2, 0, 1)
    assert torch.equal(pixels, drawn.image)
    again = open_detection("scenes", tmp_path, images=5, tested=3, size=32)
    fewer = open_detection("scenes", tmp_path, images=4, tested=3, size=32)
    assert data.fingerprint == again.fingerprint != fewer.fingerprint
    assert data.remarks == ()


def test_voc_trains_on_both_years_and_tests_on_2007(tmp_path: Path) -> None:
    layouts.voc(tmp_path)
    layouts.voc(tmp_path, 2012, train=2)
    both, alone = (open_detection(name, tmp_path) for name in ("voc0712", "voc2007"))
    assert [one.id for one in both.train.images][3:5] == ["VOC2007/000004", "VOC2012/000001"]
    assert (len(both.train), len(both.test)) == (6, 3)
    assert (len(alone.train), len(alone.test)) == (4, 3)
    assert both.classes == alone.classes == CLASSES
    assert both.fingerprint != alone.fingerprint
    assert "16,551" in both.remarks[0]
    assert both.described["train"] == 6


def test_difficult_objects_are_trained_on(tmp_path: Path) -> None:
    folder = layouts.voc(tmp_path)
    for path in (folder / "Annotations").iterdir():
        path.write_text(path.read_text().replace("<difficult>0<", "<difficult>1<"))
    data = open_detection("voc2007", tmp_path)
    assert len(data.train) == 4
    assert all(one.instances.difficult.all() for one in data.train.images)


def test_boxes_that_are_empty_or_inverted_are_told(tmp_path: Path) -> None:
    folder = layouts.voc(tmp_path)
    replaced(folder / "Annotations" / "000001.xml", "<xmax>[0-9]*</xmax>", "<xmax>1</xmax>")
    assert "voc2007: 1 boxes are empty" in open_detection("voc2007", tmp_path).remarks[-1]


def test_coco_trains_on_images_with_annotations_and_tests_on_all(tmp_path: Path) -> None:
    def bare(content: dict[str, Any]) -> None:
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 2]

    folder = layouts.coco(tmp_path)
    full = open_detection("coco2017", tmp_path)
    edited(folder, bare, "train")
    edited(folder, bare, "val")
    data = open_detection("coco2017", tmp_path)
    assert [one.id for one in data.train.images] == [1, 3, 4, 5]
    assert [one.id for one in data.test.images] == [1, 2, 3, 4]
    assert data.fingerprint != full.fingerprint
    said = " ".join(data.remarks)
    assert "1 training images without annotation" in said
    assert "10 categories" in said
    assert "118,287" in said


def test_annotations_of_two_data_sets_are_refused(tmp_path: Path) -> None:
    def rename(content: dict[str, Any]) -> None:
        content["categories"][0]["name"] = "toaster"

    edited(layouts.coco(tmp_path), rename)
    with pytest.raises(NoData, match=r"train2017\.json and .*val2017\.json.*toaster"):
        open_detection("coco2017", tmp_path)


def test_nothing_to_learn_is_refused(tmp_path: Path) -> None:
    edited(layouts.coco(tmp_path), lambda content: content["annotations"].clear())
    with pytest.raises(NoData, match="no training image has an annotation"):
        open_detection("coco2017", tmp_path)


def test_fewer_training_images_are_a_fixed_subset(tmp_path: Path) -> None:
    layouts.voc(tmp_path, train=6)
    few, again = (open_detection("voc2007", tmp_path, images=4) for _ in range(2))
    assert len(few.train) == 4
    assert few.fingerprint == again.fingerprint != open_detection("voc2007", tmp_path).fingerprint
    with pytest.raises(NoData, match=r"7.*only 6"):
        open_detection("voc2007", tmp_path, images=7)


def test_voc_has_no_outlines_to_learn(tmp_path: Path) -> None:
    layouts.voc(tmp_path)
    with pytest.raises(NoData, match="no outlines"):
        open_detection("voc2007", tmp_path, outlines=True)


@pytest.mark.parametrize("name", ["voc2007", "voc0712", "coco2017"])
def test_what_is_missing_is_named(tmp_path: Path, name: Any) -> None:
    with pytest.raises(NoData, match=r"VOC2007|coco"):
        open_detection(name, tmp_path)
