"""Training views of an image and its mask together: scaled, cropped, mirrored (v1 Appendix A).

A view is a function of the key and the image's number alone: not of its batch, nor of the number of
workers, processes or restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.data.augment import constant
from harness.data.datasets import Channels
from harness.data.masks import IGNORED, MaskedImages, Pair
from harness.data.segmentation import Segmentation
from harness.errors import DataError
from harness.runtime import keyed

_DRAWS = 4  # scale, top, left, flip


@dataclass(frozen=True)
class JointPolicy:
    """How views are drawn."""

    crop: int
    """Side of the view in pixels; 513 on VOC and 769 on Cityscapes. Where a scaled image is
    smaller, the rest is the mean colour, which is not counted."""
    scale: tuple[float, float] = (0.5, 2.0)
    """The range of a uniform factor on both sides."""
    flip_p: float = 0.5


@dataclass(frozen=True)
class Placed:
    """One drawn view."""

    size: tuple[int, int]
    """Height and width of the scaled image."""
    corner: tuple[int, int]
    """Top and left of the crop in it."""
    flip: bool


def placed(policy: JointPolicy, draws: Sequence[float], height: int, width: int) -> Placed:
    """The view of an image of that size.

    Args:
        draws: four numbers in [0, 1).
    """
    scale, top, left, flip = draws
    low, high = policy.scale
    factor = low + scale * (high - low)
    tall, wide = (max(1, round(side * factor)) for side in (height, width))
    corner = [
        int(at * (max(side, policy.crop) - policy.crop + 1))
        for at, side in ((top, tall), (left, wide))
    ]
    return Placed((tall, wide), (corner[0], corner[1]), flip < policy.flip_p)


def cut(pair: Pair, view: Placed, crop: int, mean: Channels, std: Channels) -> Pair:
    """The view: a normalised image, float32 (3, crop, crop), and its mask, uint8 (crop, crop).

    The image is resized bilinearly with antialiasing, the mask by the nearest pixel. Padding is on
    the right and below: zeros, the mean colour, in the image, and IGNORED in the mask.
    """
    images, masks = _joined([_part(pair, view, crop)], crop, mean, std)
    return images[0], masks[0]


Part = tuple[np.ndarray, np.ndarray]
"""A view without its padding: uint8 (3, h, w) and (h, w)."""


def _part(pair: Pair, view: Placed, crop: int) -> Part:
    image, mask = pair
    if view.size != tuple(mask.shape):
        # of uint8 as it is: torchvision's resize goes through float32, at three times the cost
        image = F.interpolate(image[None], view.size, mode="bilinear", antialias=True)[0]
    rows, columns = (
        _nearest(first, min(crop, scaled - first), scaled, side)
        for first, scaled, side in zip(view.corner, view.size, mask.shape, strict=True)
    )
    top, left = view.corner
    pixels = image.numpy()[:, top : top + crop, left : left + crop]
    labels = mask.numpy()[rows[:, None], columns]
    return (pixels[..., ::-1], labels[:, ::-1]) if view.flip else (pixels, labels)


def _joined(parts: Sequence[Part], crop: int, mean: Channels, std: Channels) -> Pair:
    """The views as one batch, normalised all at once: starting operations takes most of the time
    of a small view."""
    pixels = np.zeros((len(parts), 3, crop, crop), dtype=np.uint8)
    masks = np.full((len(parts), crop, crop), IGNORED, dtype=np.uint8)
    for n, (part, labels) in enumerate(parts):
        height, width = labels.shape
        pixels[n, :, :height, :width] = part
        masks[n, :height, :width] = labels
    images = normalised(torch.from_numpy(pixels), mean, std)
    for image, (_, labels) in zip(images, parts, strict=True):
        height, width = labels.shape
        if height < crop:
            image[:, height:] = 0
        if width < crop:
            image[:, :, width:] = 0
    return images, torch.from_numpy(masks)


def _nearest(first: int, count: int, scaled: int, side: int) -> np.ndarray:
    """The nearest of `side` pixels to each of `count` pixels, from `first`, of `scaled` ones. In
    NumPy, which starts an operation in a fraction of torch's time."""
    centres = 2 * np.arange(first, first + count) + 1  # in half pixels: no rounding
    return centres * side // (2 * scaled)


def normalised(image: Tensor, mean: Channels, std: Channels) -> Tensor:
    """(x / 255 - mean) / std per channel, float32, of uint8 (..., 3, H, W)."""
    low, wide = (constant(values, image.device).view(3, 1, 1) for values in (mean, std))
    return image.float().div_(255).sub_(low).div_(wide)


def views(
    data: Segmentation, index: Tensor, policy: JointPolicy, *stream: int | str
) -> tuple[Tensor, Tensor]:
    """The training images at `index` as a batch.

    Args:
        index: int64 (n,), numbers in `data.train`.
        stream: names the draws, e.g. (seed, "segmentation", trial, "augment", epoch).

    Returns:
        normalised images, float32 (n, 3, crop, crop), and their masks, int64 (n, crop, crop), with
        IGNORED for pixels that are not counted.

    Raises:
        NoData: an image or a mask is missing or wrong.
    """
    draws = keyed.uniform(keyed.key(*stream), index, _DRAWS).tolist()

    def one(n: int, pair: Pair) -> Part:
        view = placed(policy, draws[n], *pair[1].shape)
        return _part(pair, view, policy.crop)

    parts = data.train.load(index, one)
    images, masks = _joined(parts, policy.crop, data.mean, data.std)
    return images, masks.long()


def check_crop(policy: JointPolicy, images: MaskedImages, name: str) -> None:
    """Refuse a crop that no image fills along any side, even at the largest scale.

    A crop larger than some images is the protocol; one larger than all only adds padding.

    Args:
        name: the data set's, for the message.

    Raises:
        DataError: it does, or an image's size cannot be read.
    """
    longest = 0
    for i in range(len(images)):
        longest = max(longest, *(round(side * policy.scale[1]) for side in images.size(i)))
        if longest >= policy.crop:
            return
    raise DataError(
        f"crop: views of {policy.crop} pixels, but no image of {name} is longer than {longest} at "
        f"the largest scale, {policy.scale[1]:g}; a crop of {longest} or less has no needless "
        "padding"
    )
