"""Embedded scenes in COCO's and in VOC's layout are what torchvision and Pillow read there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import VOCDetection, VOCSegmentation

from harness.data.embedded import CLASSES
from harness.data.scene_files import run_lengths, write_coco, write_voc
from harness.data.scenes import scene
from harness.errors import StoreError


def decoded(counts: list[int], side: int) -> Tensor:
    flat = [n % 2 for n, count in enumerate(counts) for _ in range(count)]
    return torch.tensor(flat, dtype=torch.bool).view(side, side).T


@pytest.mark.parametrize("corner", [False, True])
def test_run_lengths_go_column_by_column_from_the_pixels_outside(corner: bool) -> None:
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[1:3, 2] = True
    mask[0, 0] = corner
    assert run_lengths(mask) == ([0, 1, 8, 2, 5] if corner else [9, 2, 5])
    assert torch.equal(decoded(run_lengths(mask), 4), mask)


def test_coco_holds_the_scenes_boxes_masks_and_pixels(tmp_path: Path) -> None:
    path = write_coco(tmp_path, "test", 5, 32)
    assert path == tmp_path / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    assert [each["name"] for each in content["categories"]] == list(CLASSES)
    for index, image in enumerate(content["images"]):
        drawn = scene("test", index, 32)
        pixels = np.asarray(Image.open(tmp_path / "val2017" / image["file_name"]))
        assert torch.equal(torch.tensor(pixels).permute(2, 0, 1), drawn.image)
        own = [each for each in content["annotations"] if each["image_id"] == image["id"]]
        assert [each["category_id"] - 1 for each in own] == drawn.labels.tolist()
        for each, mask, box in zip(own, drawn.masks, drawn.boxes, strict=True):
            x, y, width, height = each["bbox"]
            assert [x, y, x + width, y + height] == box.tolist()
            assert torch.equal(decoded(each["segmentation"]["counts"], 32), mask)
            assert each["area"] == int(mask.sum())


def test_voc_is_read_by_torchvision(tmp_path: Path) -> None:
    listed = write_voc(tmp_path / "VOCdevkit", "test", 4, 48)
    assert len(listed.read_text().split()) == 4
    boxes = VOCDetection(tmp_path, year="2007", image_set="test")
    maps = VOCSegmentation(tmp_path, year="2007", image_set="test")
    for index in range(4):
        drawn = scene("test", index, 48)
        image, annotation = boxes[index]
        assert image.size == (48, 48)
        figures = annotation["annotation"]["object"]
        assert [each["name"] for each in figures] == [CLASSES[n] for n in drawn.labels]
        corners = [[int(each["bndbox"][at]) for at in FROM_ONE] for each in figures]
        assert corners == (drawn.boxes + torch.tensor([1, 1, 0, 0])).int().tolist()
        assert torch.equal(torch.tensor(np.asarray(maps[index][1])), drawn.semantic)


FROM_ONE = ("xmin", "ymin", "xmax", "ymax")


@pytest.mark.parametrize("write", [write_coco, write_voc])
def test_a_file_in_the_folders_place_is_named(write: object, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    assert callable(write)
    with pytest.raises(StoreError, match="taken"):
        write(tmp_path / "taken", "train", 1, 32)
