"""Pictures of masks: three panels, one palette."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data.masks import IGNORED
from harness.evaluate.mask_pictures import LEAST, data_uri, palette, sample, side_by_side


def test_panels_are_image_truth_and_prediction() -> None:
    image = torch.randint(256, (3, 40, 30), dtype=torch.uint8)
    true, predicted = torch.zeros(40, 30).byte(), torch.full((40, 30), 3).byte()
    true[:, :10], true[:, 10:12] = 5, IGNORED
    png = side_by_side(image, true, predicted)
    assert side_by_side(image, true, predicted) == png
    shown = torch.tensor(np.asarray(Image.open(io.BytesIO(png))))
    assert shown.shape == (160, 3 * 120 + 2 * 4, 3)
    panels = [shown[::4, at : at + 120 : 4] for at in (0, 124, 248)]
    assert torch.equal(panels[0], image.permute(1, 2, 0))
    assert torch.equal(panels[1], palette()[true.long()])
    assert torch.equal(panels[2], palette()[predicted.long()])
    assert bool((panels[1][:, 10:12] == 255).all())


def test_large_images_are_not_enlarged() -> None:
    image, mask = torch.zeros(3, LEAST, 20).byte(), torch.zeros(LEAST, 20).byte()
    assert Image.open(io.BytesIO(side_by_side(image, mask, mask))).size == (68, LEAST)


def test_classes_of_voc_have_colours_of_their_own() -> None:
    colours = {tuple(palette()[n].tolist()) for n in (*range(22), IGNORED)}
    assert len(colours) == 23
    distance = torch.cdist(palette()[:22].float(), palette()[:22].float())
    assert float((distance + 999 * torch.eye(22)).min()) > 30


def test_different_sizes_are_refused() -> None:
    image, mask = torch.zeros(3, 8, 9).byte(), torch.zeros(8, 9).byte()
    with pytest.raises(ValueError, match="sizes"):
        side_by_side(image, mask, mask[:, 1:])


def test_a_uri_holds_the_file() -> None:
    kind, _, content = data_uri(b"png").partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content) == b"png"


def test_a_sample_is_fixed_and_within_the_images() -> None:
    chosen = sample(50, 6)
    assert chosen == sample(50, 6) == sorted(set(chosen))
    assert len(chosen) == 6
    assert max(chosen) < 50
    assert sample(3, 6) == [0, 1, 2]
