"""VOC's boxes: its corners, difficult objects, and annotations that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from data import box_layouts as layouts
from data.box_layouts import replaced

from harness.data.scenes import scene
from harness.data.voc_boxes import CLASSES, voc_boxes
from harness.errors import DataError


def test_the_scenes_boxes_and_classes_come_back(tmp_path: Path) -> None:
    layouts.voc(tmp_path)
    found = voc_boxes(tmp_path, 2007, "trainval")
    assert [one.id for one in found] == [f"VOC2007/{n:06d}" for n in range(1, 5)]
    for index, one in enumerate(found):
        drawn = scene("train", index, layouts.SIZE)
        assert one.size == (layouts.SIZE, layouts.SIZE)
        assert one.instances.boxes.tolist() == drawn.boxes.tolist()
        assert one.instances.labels.tolist() == drawn.labels.tolist()
        assert not one.instances.difficult.any()
        assert not one.instances.crowd.any()
    assert len(CLASSES) == 20


def test_a_box_around_the_image_begins_at_zero(tmp_path: Path) -> None:
    """Corners are counted from 1 and inclusive; some of 2012 are no integers."""
    folder = layouts.voc(tmp_path)
    path = folder / "Annotations" / "000001.xml"
    replaced(path, "<object>.*</object>", "")
    replaced(
        path,
        "</annotation>",
        "<object><name>person</name><difficult>1</difficult><bndbox><xmax>32</xmax><xmin>1</xmin>"
        "<ymin>1.5</ymin><ymax>32</ymax></bndbox></object></annotation>",
    )
    (one, *_) = voc_boxes(tmp_path, 2007, "trainval")
    assert one.instances.boxes.tolist() == [[0, 0.5, 32, 32]]
    assert one.instances.difficult.tolist() == [True]
    assert one.is_learnable


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<name>[a-z]*</name>", "<name>toaster</name>", "object 1 is a toaster"),
        ("<name>[a-z]*</name>", "", "object 1"),
        ("<xmin>[0-9]*</xmin>", "<xmin>left</xmin>", r"xmin of object 1 \([a-z]+\) is 'left'"),
        ("<ymax>[0-9]*</ymax>", "", r"ymax of object 1 \([a-z]+\) is missing"),
        ("<ymax>[0-9]*</ymax>", "<ymax>nan</ymax>", r"ymax of object 1"),
        ("<width>32</width>", "", "size/width is missing"),
        ("<width>32</width>", "<width>0</width>", "0 x 32"),
        ("</annotation>", "", "not an XML file"),
        *(
            ("<annotation>", f'<?xml version="1.0" encoding="{name}"?><annotation>', "not an XML")
            for name in ("shift_jis", "gbk", "utf-32", "idna", "none")
        ),
    ],
)
def test_an_annotation_that_cannot_be_used_is_named(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    path = layouts.voc(tmp_path) / "Annotations" / "000002.xml"
    replaced(path, old, new)
    with pytest.raises(DataError, match=f"000002.xml: .*{says}") as wrong:
        voc_boxes(tmp_path, 2007, "trainval")
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize("gone", ["JPEGImages/000003.jpg", "Annotations/000003.xml"])
def test_listed_files_that_are_absent_are_named(tmp_path: Path, gone: str) -> None:
    folder = layouts.voc(tmp_path)
    (folder / gone).unlink()
    with pytest.raises(DataError, match=rf"trainval\.txt: 1 of its 4 images .*{gone}"):
        voc_boxes(tmp_path, 2007, "trainval")


def test_lists_that_are_empty_or_name_an_image_twice_are_refused(tmp_path: Path) -> None:
    listed = layouts.voc(tmp_path) / "ImageSets" / "Main" / "trainval.txt"
    listed.write_text("000001\n000002\n000001\n")
    with pytest.raises(DataError, match=r"trainval\.txt: names 000001 twice"):
        voc_boxes(tmp_path, 2007, "trainval")
    listed.write_text("")
    with pytest.raises(DataError, match=r"trainval\.txt: names no image"):
        voc_boxes(tmp_path, 2007, "trainval")


def test_another_layout_is_refused(tmp_path: Path) -> None:
    folder = layouts.voc(tmp_path)
    (folder / "Annotations").rename(folder / "Labels")
    with pytest.raises(DataError, match="VOC2007: lacks Annotations;"):
        voc_boxes(tmp_path, 2007, "trainval")
