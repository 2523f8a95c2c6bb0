"""COCO's instances: ids with gaps, crowds, outlines, and annotations that cannot be used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data import box_layouts as layouts
from data.box_layouts import SIZE, edited

from harness.data.coco_instances import coco_instances, decompressed
from harness.data.embedded import CLASSES
from harness.data.instances import RunLengths
from harness.data.scenes import scene
from harness.errors import DataError

SQUARE = [2.0, 2.0, 9.5, 2.0, 9.5, 9.0, 2.0, 9.0]


def test_the_scenes_boxes_classes_and_masks_come_back(tmp_path: Path) -> None:
    layouts.coco(tmp_path)
    read = coco_instances(tmp_path, "train2017", outlines=True)
    assert read.classes == CLASSES
    assert [one.id for one in read.images] == [1, 2, 3, 4, 5]
    for index, one in enumerate(read.images):
        drawn = scene("train", index, SIZE)
        assert one.instances.boxes.tolist() == drawn.boxes.tolist()
        assert one.instances.labels.tolist() == drawn.labels.tolist()
        assert one.instances.areas.tolist() == drawn.masks.sum((1, 2)).tolist()
        for outline, mask in zip(one.instances.outlines, drawn.masks, strict=True):
            assert isinstance(outline, RunLengths)
            assert torch.equal(torch.from_numpy(outline.mask().copy()), mask)
    without = coco_instances(tmp_path, "train2017", outlines=False)
    assert {type(each) for one in without.images for each in one.instances.outlines} == {type(None)}


def test_category_ids_with_gaps_become_labels_without(tmp_path: Path) -> None:
    def gaps(content: dict[str, Any]) -> None:
        for category in content["categories"]:
            category["id"] = 3 * category["id"] + 1
        content["categories"].reverse()
        for annotation in content["annotations"]:
            annotation["category_id"] = 3 * annotation["category_id"] + 1

    folder = layouts.coco(tmp_path)
    before = coco_instances(tmp_path, "train2017", outlines=False)
    edited(folder, gaps)
    after = coco_instances(tmp_path, "train2017", outlines=False)
    assert after.classes == before.classes
    for one, other in zip(before.images, after.images, strict=True):
        assert one.instances.labels.tolist() == other.instances.labels.tolist()


def test_crowds_images_without_annotation_and_empty_boxes_are_read(tmp_path: Path) -> None:
    """Each is as the protocol treats it later: nothing is lost for the evaluation."""

    def change(content: dict[str, Any]) -> None:
        by_image: dict[int, list[Any]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
        for annotation in by_image[1]:
            annotation["iscrowd"] = 1
        by_image[2][0]["bbox"][2] = 0
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 3]

    edited(layouts.coco(tmp_path), change)
    images = coco_instances(tmp_path, "train2017", outlines=True).images
    assert [one.is_learnable for one in images] == [False, True, False, True, True]
    assert images[0].instances.crowd.all()
    assert images[1].instances.extents[0, 2] == 0
    assert len(images[2].instances) == 0


def polygons(*parts: list[Any]) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for annotation in content["annotations"]:
            annotation["segmentation"] = [SQUARE]
        content["annotations"][1]["segmentation"] = list(parts)

    return change


def test_parts_without_an_area_are_left_out_beside_others_and_told(tmp_path: Path) -> None:
    edited(layouts.coco(tmp_path), polygons([1, 1, 2, 2], SQUARE, [1, 2, 3]))
    read = coco_instances(tmp_path, "train2017", outlines=True)
    outlines = [outline for one in read.images for outline in one.instances.outlines]
    assert all(isinstance(each, tuple) and len(each) == 1 for each in outlines)
    assert [part.tolist() for part in outlines[1]] == [SQUARE]  # type: ignore[union-attr]
    (remark,) = read.remarks
    assert "instances_train2017.json: 2 parts" in remark


def field(part: str, n: int, name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content[part][n].update({name: value})


def doubled(part: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content[part].append(dict(content[part][0]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (polygons([1, 1, 2, 2]), r"annotation 2 of image 1 \(000000000001\.png\): no polygon"),
        (polygons([]), r"annotation 2 of image 1 \(000000000001\.png\): no polygon"),
        (polygons([1, 1, 2, 2, None, 3]), r"annotation 2 of image 1 .*no list of numbers"),
        (polygons([1, 1, 2, 2, 10**400, 3]), r"annotation 2 of image 1 .*no list of numbers"),
        (polygons([1, 1, 2, 2, float("nan"), 3]), r"annotation 2 of image 1 .*no list of numbers"),
        (field("annotations", 1, "segmentation", None), r"annotation 2 of image 1 .*segmentation"),
        (field("annotations", 1, "segmentation", "x"), r"annotation 2 of image 1 .*segmentation"),
        (field("annotations", 1, "segmentation", [SQUARE]), r"image 1 \(.*polygons.*masks"),
        (
            field("annotations", 1, "segmentation", {"size": [SIZE, SIZE], "counts": [3, 4]}),
            r"annotation 2 of image 1 .*32 x 32",
        ),
        (
            field("annotations", 1, "segmentation", {"size": [8, 128], "counts": [1024]}),
            r"annotation 2 of image 1 .*32 x 32",
        ),
        (
            field("annotations", 1, "segmentation", {"size": [SIZE, SIZE], "counts": "~"}),
            r"annotation 2 of image 1 .*32 x 32",
        ),
        (field("annotations", 1, "bbox", [1, 2, 3]), r"annotation 2 of image 1 .*bbox"),
        (field("annotations", 1, "bbox", [1, 2, 3, "4"]), r"annotation 2 of image 1 .*bbox"),
        (field("annotations", 1, "bbox", [1, 2, 3, 10**400]), r"annotation 2 of image 1 .*bbox"),
        (field("annotations", 1, "area", 10**400), r"annotation 2 of image 1 .*area"),
        (field("annotations", 1, "bbox", None), r"annotation 2 of image 1 .*bbox"),
        (field("annotations", 1, "area", float("inf")), r"annotation 2 of image 1 .*area"),
        (field("annotations", 1, "iscrowd", 2), r"annotation 2 of image 1 .*iscrowd"),
        (field("annotations", 1, "category_id", 99), r"annotation 2 of image 1 .*category 99"),
        (field("annotations", 1, "image_id", 99), r"annotation 2 of image 99: no such image"),
        (doubled("annotations"), r"annotation 1 of image 1 .*twice"),
        (doubled("images"), r"image 1 \(000000000001\.png\): the id is there twice"),
        (doubled("categories"), r"category 1: the id is there twice"),
        (field("images", 1, "id", "two"), r"image number 1 has no integer as id"),
        (field("images", 1, "width", 0), r"image 2 \(.*width"),
        (field("images", 1, "file_name", "../x.png"), r"image 2 \(\.\./x\.png\): file_name"),
        (field("images", 1, "file_name", "000000000001.png"), r"image 2 .*image 1 has the same"),
        (field("images", 1, "file_name", "a\ud800.png"), r"1 of its 5 .*2 \(.*a\\ud800\.png\)"),
        (field("categories", 1, "name", "a\ud800"), "category 2: .*name"),
        (field("images", 1, "file_name", "gone.png"), r"1 of its 5 images .*2 \(.*gone\.png\)"),
        (lambda content: content.pop("categories"), "no list of categories"),
        (lambda content: content["images"].clear(), "no images"),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    edited(layouts.coco(tmp_path), change)
    with pytest.raises(DataError, match=rf"instances_train2017\.json: {says}") as wrong:
        coco_instances(tmp_path, "train2017", outlines=True)
    assert "\n" not in str(wrong.value)


def test_the_annotations_of_another_split_are_refused(tmp_path: Path) -> None:
    folder = layouts.coco(tmp_path, train=3, val=5) / "annotations"
    shutil.copy(folder / "instances_val2017.json", folder / "instances_train2017.json")
    with pytest.raises(DataError, match=r"2 of its 5 images are not in .*train2017: 4 \("):
        coco_instances(tmp_path, "train2017", outlines=False)


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000])
def test_a_file_that_is_no_annotation_is_refused(tmp_path: Path, content: str) -> None:
    path = layouts.coco(tmp_path) / "annotations" / "instances_train2017.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"instances_train2017\.json: no"):
        coco_instances(tmp_path, "train2017", outlines=False)


def test_another_layout_is_refused(tmp_path: Path) -> None:
    shutil.rmtree(layouts.coco(tmp_path) / "val2017")
    with pytest.raises(DataError, match="val2017: not there"):
        coco_instances(tmp_path, "val2017", outlines=False)


def test_compressed_run_lengths() -> None:
    """pycocotools' encoding of a mask of 6 x 9 pixels."""
    assert decompressed("7330<0E09") == [7, 3, 3, 3, 15, 3, 4, 3, 13]


@pytest.mark.libraries
@pytest.mark.skipif(find_spec("pycocotools") is None, reason="not installed: pycocotools")
def test_compressed_run_lengths_are_pycocotools() -> None:
    from pycocotools import mask

    draws = np.random.default_rng(0)
    for size in ((1, 1), (7, 5), (40, 300), (200, 90)):
        drawn = np.asfortranarray(draws.random(size) < draws.random() ** 3, dtype=np.uint8)
        drawn[: size[0] // 2] = 0
        counts = np.array(decompressed(mask.encode(drawn)["counts"].decode()))
        assert np.array_equal(RunLengths(size, counts).mask(), drawn.astype(bool))
