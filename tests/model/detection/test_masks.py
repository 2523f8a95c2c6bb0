"""Masks on grids over boxes, against those that detectron2 made once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.model.detection.mask_targets import filled, mask_targets, pasted

from .mask_reference import BOXES, IMAGE, POLYGONS, SIDE

WANTED = json.loads(Path(__file__).with_name("masks.json").read_text())


def bits(rows: list[str]) -> Tensor:
    return torch.tensor([[each == "#" for each in row] for row in rows])


@pytest.mark.parametrize("number", range(len(BOXES)))
def test_polygons_are_filled_on_the_grid_of_a_box(number: int) -> None:
    instance, box = BOXES[number]
    found = mask_targets(POLYGONS, torch.tensor([instance]), torch.tensor([box]), SIDE)
    assert torch.equal(found[0], bits(WANTED["polygons"][number]))


@pytest.mark.parametrize("number", range(len(POLYGONS)))
def test_polygons_are_filled_in_an_image(number: int) -> None:
    parts = [np.asarray(each).reshape(-1, 2) for each in POLYGONS[number]]
    found = np.logical_or.reduce([filled(each, *IMAGE) for each in parts])
    wanted = bits(WANTED["whole"][number])
    assert torch.equal(torch.from_numpy(found), wanted)
    assert 0 < int(wanted.sum()) < wanted.numel()


def test_bitmaps_are_cropped_and_resized() -> None:
    whole = torch.stack([bits(rows) for rows in WANTED["whole"]])
    which, boxes = torch.tensor([each for each, _ in BOXES]), [box for _, box in BOXES]
    found = mask_targets(whole, which, torch.tensor(boxes), SIDE)
    assert torch.equal(found, torch.stack([bits(rows) for rows in WANTED["bitmaps"]]))


def test_no_boxes_have_no_masks() -> None:
    nothing = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4)
    assert mask_targets(POLYGONS, *nothing, SIDE).shape == (0, SIDE, SIDE)
    assert mask_targets(torch.zeros(3, 8, 9, dtype=torch.bool), *nothing, SIDE).shape == (
        0,
        SIDE,
        SIDE,
    )


def test_a_mask_is_pasted_into_its_box() -> None:
    mask = torch.zeros(1, 4, 4)
    mask[0, :, 2:] = 1
    found = pasted(mask, torch.tensor([[2.0, 1.0, 10.0, 5.0]]), (8, 12))[0]
    wanted = torch.zeros(8, 12, dtype=torch.bool)
    wanted[1:5, 6:10] = True
    assert torch.equal(found, wanted)


def test_a_mask_at_the_edge_stays_inside_the_image() -> None:
    found = pasted(torch.ones(1, 4, 4), torch.tensor([[5.0, 3.0, 8.0, 6.0]]), (6, 8))[0]
    assert int(found.sum()) == 9
    assert bool(found[3:6, 5:8].all())
