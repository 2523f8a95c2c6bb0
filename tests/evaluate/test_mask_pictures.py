"""Pictures of masks: sizes, one palette, words for what they show."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from harness.data.masks import IGNORED
from harness.evaluate.mask_pictures import (
    LEAST,
    MOST,
    UNCOUNTED,
    image_png,
    legend,
    mask_png,
    palette,
    sample,
    shares,
)
from harness.store.pictures import why_not_png


def shown(png: bytes) -> Tensor:
    assert why_not_png(png) == ""
    return torch.tensor(np.asarray(Image.open(io.BytesIO(png)).convert("RGB")))


def test_small_pictures_are_enlarged_by_a_whole_factor() -> None:
    image = torch.randint(256, (3, 40, 30), dtype=torch.uint8)
    mask = torch.randint(5, (40, 30)).byte()
    mask[:, 10:12] = IGNORED
    assert torch.equal(shown(image_png(image))[::4, ::4], image.permute(1, 2, 0))
    large = shown(mask_png(mask))
    assert large.shape == (160, 120, 3)
    assert torch.equal(large[::4, ::4], palette()[mask.long()])
    assert torch.equal(large[::4], large[3::4])


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (LEAST, 20, (LEAST, 20)),
        (2 * MOST, MOST, (MOST, MOST // 2)),
        (300, 1000, (77, 256)),
        (375, 500, (192, 256)),
    ],
)
def test_large_pictures_are_shrunk_and_masks_keep_their_colours(
    height: int, width: int, size: tuple[int, int]
) -> None:
    mask = torch.arange(height * width).view(height, width).div(97).long().remainder(21).byte()
    pixels = shown(mask_png(mask))
    assert pixels.shape[:2] == size
    assert shown(image_png(mask.expand(3, -1, -1))).shape[:2] == size
    colours = {tuple(each) for each in palette()[:21].tolist()}
    assert {tuple(each) for each in pixels.flatten(0, 1).unique(dim=0).tolist()} <= colours


def test_classes_of_voc_have_colours_of_their_own() -> None:
    colours = {tuple(palette()[n].tolist()) for n in (*range(22), IGNORED)}
    assert len(colours) == 23
    distance = torch.cdist(palette()[:22].float(), palette()[:22].float())
    assert float((distance + 999 * torch.eye(22)).min()) > 30


def test_the_legend_has_each_class_and_what_is_not_counted() -> None:
    found = dict(legend(("background", "disc")))
    assert list(found) == ["background", "disc", UNCOUNTED]
    assert found["disc"] == "#{:02x}{:02x}{:02x}".format(*palette()[1].tolist())
    assert found[UNCOUNTED] == "#ffffff"


def test_words_for_a_mask_name_the_largest_class_first() -> None:
    mask = torch.zeros(10, 10).byte()
    mask[:6], mask[9] = 2, IGNORED
    assert shares(mask, ("background", "disc", "ring")) == (
        f"ring 60 %, background 30 %, {UNCOUNTED} 10 %"
    )


def test_a_sample_is_fixed_and_within_the_images() -> None:
    chosen = sample(50, 6)
    assert chosen == sample(50, 6) == sorted(set(chosen))
    assert len(chosen) == 6
    assert max(chosen) < 50
    assert sample(3, 6) == [0, 1, 2]
