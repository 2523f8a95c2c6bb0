"""Joint views: image and mask move together; draws are a function of the key and the image."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data import mask_layouts
from PIL import Image
from torch import Tensor

from harness.data.joint_views import JointPolicy, Placed, check_crop, cut, normalised, placed, views
from harness.data.masks import IGNORED, MaskStack
from harness.data.segmentation import open_segmentation
from harness.errors import DataError

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def pair(height: int, width: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(height)
    smooth = torch.rand(3, 4, 4, generator=draw)
    image = torch.nn.functional.interpolate(smooth[None], (height, width), mode="bicubic")[0]
    mask = torch.randint(5, (height, width), generator=draw, dtype=torch.uint8)
    return (image.clamp(0, 1) * 255).to(torch.uint8), mask


def by_pillow(
    image: Tensor, mask: Tensor, view: Placed, crop: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same with Pillow, the whole image at a time; the padding is written out."""
    (tall, wide), (top, left) = view.size, view.corner
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    resized = np.asarray(picture.resize((wide, tall), Image.Resampling.BILINEAR)) / 255
    labels = np.asarray(
        Image.fromarray(mask.numpy()).resize((wide, tall), Image.Resampling.NEAREST)
    )
    x = np.empty((max(tall, crop), max(wide, crop), 3))
    x[:] = MEAN
    y = np.full(x.shape[:2], 255)
    x[:tall, :wide], y[:tall, :wide] = resized, labels
    x, y = x[top : top + crop, left : left + crop], y[top : top + crop, left : left + crop]
    return ((x - MEAN) / STD).transpose(2, 0, 1), y


@pytest.mark.parametrize(
    "view",
    [
        Placed((40, 50), (3, 7), False),
        Placed((80, 100), (48, 68), False),
        Placed((20, 25), (0, 0), False),  # smaller than the crop on both sides
        Placed((24, 64), (0, 29), False),  # on one
        Placed((56, 36), (21, 1), False),
    ],
)
def test_a_view_is_what_pillow_makes_of_the_whole_image(view: Placed) -> None:
    """No pixel lies halfway between two: Pillow rounds those by accumulated steps."""
    image, mask = pair(40, 50)
    found, labels = cut((image, mask), view, 32, MEAN, STD)
    x, y = by_pillow(image, mask, view, 32)
    assert (found.dtype, labels.dtype) == (torch.float32, torch.uint8)
    np.testing.assert_allclose(found.numpy(), x, atol=1.01 / 255 / min(STD))
    np.testing.assert_array_equal(labels.numpy(), y)


def test_padding_is_the_mean_and_not_counted() -> None:
    found, labels = cut(pair(20, 20), Placed((12, 16), (0, 0), False), 24, MEAN, STD)
    assert labels.shape == (24, 24)
    padded = torch.ones(24, 24, dtype=torch.bool)
    padded[:12, :16] = False
    assert bool((found[:, padded] == 0).all())
    assert bool((labels[padded] == IGNORED).all())
    assert not bool((labels[~padded] == IGNORED).any())


def test_a_mirrored_view_mirrors_the_crop_and_its_mask() -> None:
    view = Placed((60, 75), (10, 20), False)
    image, mask = cut(pair(40, 50), view, 32, MEAN, STD)
    mirrored = cut(pair(40, 50), replace(view, flip=True), 32, MEAN, STD)
    assert torch.equal(mirrored[0], image.flip(-1))
    assert torch.equal(mirrored[1], mask.flip(-1))


def test_scales_and_places_cover_their_ranges() -> None:
    policy = JointPolicy(crop=32)
    low, high = (placed(policy, [u] * 4, 40, 50) for u in (0.0, 1 - 2**-24))
    assert (low.size, low.corner, low.flip) == ((20, 25), (0, 0), True)
    assert (high.size, high.corner, high.flip) == ((80, 100), (48, 68), False)
    assert placed(policy, [0.5] * 4, 40, 50).size == (50, 62)
    assert not placed(replace(policy, flip_p=0.0), [0.0] * 4, 40, 50).flip
    assert placed(policy, [0.0, 0.9, 0.9, 0.0], 1, 1).size == (1, 1)


def test_an_image_at_its_own_scale_keeps_its_pixels() -> None:
    image, mask = pair(32, 32)
    found, labels = cut((image, mask), Placed((32, 32), (0, 0), False), 32, MEAN, STD)
    assert torch.equal(found, normalised(image, MEAN, STD))
    assert torch.equal(labels, mask)


def test_views_do_not_depend_on_the_batch_or_on_the_threads(tmp_path: Path) -> None:
    data = open_segmentation("scenes", tmp_path, images=12, tested=1, size=32)
    policy, stream = JointPolicy(crop=33), (0, "segmentation", 1, "augment", 4)
    whole, masks = views(data, torch.arange(12), policy, *stream)
    assert (whole.shape, masks.shape) == ((12, 3, 33, 33), (12, 33, 33))
    assert (whole.dtype, masks.dtype) == (torch.float32, torch.int64)
    order = torch.tensor([7, 3, 11, 0])
    for part in (order, order.flip(0), torch.tensor([11])):
        images, labels = views(data, part, policy, *stream)
        assert torch.equal(images, whole[part])
        assert torch.equal(labels, masks[part])
    again = views(data, order, policy, *stream)
    other = views(data, order, policy, *stream[:-1], 5)
    assert torch.equal(again[0], whole[order])
    assert not torch.equal(other[0], whole[order])


def test_views_of_files_are_decoded_in_threads_in_order(tmp_path: Path) -> None:
    mask_layouts.voc2012(tmp_path, train=9)
    data = open_segmentation("voc2012", tmp_path)
    policy, index = JointPolicy(crop=40), torch.tensor([8, 1, 4, 0, 2])
    together = views(data, index, policy, 3, "augment", 0)
    alone = [views(data, index[n : n + 1], policy, 3, "augment", 0) for n in range(5)]
    assert torch.equal(together[0], torch.cat([images for images, _ in alone]))
    assert torch.equal(together[1], torch.cat([masks for _, masks in alone]))


def test_the_draws_stay_the_same(tmp_path: Path) -> None:
    """A changed draw is another result of every recipe."""
    data = open_segmentation("scenes", tmp_path, images=4, tested=1, size=32)
    _, masks = views(data, torch.arange(4), JointPolicy(crop=33), 0, "trial", 0, "augment", 2)
    digest = hashlib.sha256(masks.to(torch.uint8).numpy().tobytes()).hexdigest()
    assert digest[:12] == "a2266538087e"


def test_a_crop_beyond_every_image_is_refused() -> None:
    images = torch.zeros(2, 3, 30, 40, dtype=torch.uint8)
    stack = MaskStack(images, images[:, 0])
    check_crop(JointPolicy(crop=80), stack, "tiny")  # padded in height only
    with pytest.raises(DataError, match=r"81.*tiny.*80"):
        check_crop(JointPolicy(crop=81), stack, "tiny")
    with pytest.raises(DataError, match="crop"):
        check_crop(JointPolicy(crop=49, scale=(0.5, 1.2)), stack, "tiny")


def test_sizes_of_files_are_read_until_one_is_long_enough(tmp_path: Path) -> None:
    folder = mask_layouts.voc2012(tmp_path)
    data = open_segmentation("voc2012", tmp_path)
    check_crop(JointPolicy(crop=96), data.train, data.name)
    (folder / "JPEGImages" / "000001.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"000001\.jpg"):
        check_crop(JointPolicy(crop=97), data.train, data.name)
