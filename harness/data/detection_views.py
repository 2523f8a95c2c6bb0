"""What a detector sees of an image: resized, mirrored, with the boxes and outlines to learn.

A view is a function of the key and the image's number alone: not of its batch, nor of the number of
workers, processes or restarts. Sizes, interpolation and rounding are detectron2's, so that a view's
boxes are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from harness.data.instances import AnnotatedImage, Floats, InstanceImages, Outline, RunLengths
from harness.runtime import keyed

_DRAWS = 2  # size, flip
_LEAST = 1e-5
"""Sides of a box in pixels, of which more are needed to learn it."""

Size = tuple[int, int]
"""Height and width in pixels."""

Polygons = list[list[float]]
"""An instance's outline: each part x1, y1, x2, y2, ... in pixels."""


@dataclass(frozen=True)
class DetectionPolicy:
    """How views are drawn."""

    shortest: tuple[int, ...]
    """Lengths of the shorter side in pixels, of which one is drawn."""
    longest: int
    """Of the longer side, at most; then the shorter one is shorter too."""
    flip_p: float = 0.5


@dataclass(frozen=True)
class DetectionView:
    """An image as the detector sees it, and what is to be found in it, n instances; n may be 0."""

    id: int | str
    """The image's, for keyed draws."""
    image: Tensor
    """uint8 (3, H, W), not yet normalised."""
    boxes: Tensor
    """float32 (n, 4): x1, y1, x2, y2 inside the image, none empty. No crowds."""
    labels: Tensor
    """int64 (n,), classes from 0."""
    masks: Tensor | list[Polygons] | None
    """bool (n, H, W), or the polygons of each instance; None if the outlines were not read."""
    original: Size
    """Of the image's file, upright."""


def resized(size: Size, shortest: int, longest: int) -> Size:
    """The size of an image whose shorter side becomes `shortest`, its longer one at most `longest`;
    halves are rounded up."""
    height, width = size
    scale = shortest / min(height, width)
    tall, wide = (shortest, scale * width) if height < width else (scale * height, shortest)
    if max(tall, wide) > longest:
        scale = longest / max(tall, wide)
        tall, wide = tall * scale, wide * scale
    return int(tall + 0.5), int(wide + 0.5)


def training_views(
    images: InstanceImages, index: Tensor, policy: DetectionPolicy, *stream: int | str
) -> list[DetectionView]:
    """Views to learn from.

    Args:
        index: int64 (n,), numbers in `images`.
        stream: names the draws, e.g. (seed, "detection", trial, "augment", step).

    Raises:
        NoData: an image is missing, damaged or not of the annotated size.
    """
    draws = keyed.uniform(keyed.key(*stream), index, _DRAWS).tolist()

    def one(n: int, i: int) -> DetectionView:
        at, flip = draws[n]
        shortest = policy.shortest[int(at * len(policy.shortest))]
        size = resized(images.images[i].size, shortest, policy.longest)
        return view(images, i, size, flip < policy.flip_p)

    return images.load(index, one)


def views_to_test(
    images: InstanceImages, index: Tensor, shortest: int, longest: int
) -> list[DetectionView]:
    """Views to test on, of the images at `index`, int64 (n,): resized only.

    Raises:
        NoData: as in `training_views`.
    """

    def one(_: int, i: int) -> DetectionView:
        return view(images, i, resized(images.images[i].size, shortest, longest), flip=False)

    return images.load(index, one)


def view(images: InstanceImages, i: int, size: Size, flip: bool) -> DetectionView:
    """Image i at a size, mirrored or not.

    The pixels are resized as 8 bits by Pillow's bilinear filter, which averages where it shrinks.

    Raises:
        DataError: see InstanceImages.picture.
    """
    one = images.images[i]
    height, width = size
    picture = images.picture(i).resize((width, height), Image.Resampling.BILINEAR)
    pixels = pil_to_tensor(picture)
    if flip:
        pixels = pixels.flip(-1)
    across, down = width / one.size[1], height / one.size[0]
    boxes = one.instances.boxes * [across, down, across, down]
    if flip:
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    boxes = boxes.clip(0, [width, height, width, height]).astype(np.float32)
    learnt = ~one.instances.crowd & (boxes[:, 2:] - boxes[:, :2] > _LEAST).all(1)
    masks, visible = _masks(one, np.flatnonzero(learnt).tolist(), size, flip)
    kept = np.flatnonzero(learnt)[visible]
    return DetectionView(
        one.id,
        pixels,
        torch.from_numpy(boxes[kept]),
        torch.from_numpy(one.instances.labels[kept]),
        masks,
        one.size,
    )


def _masks(
    one: AnnotatedImage, kept: Sequence[int], size: Size, flip: bool
) -> tuple[Tensor | list[Polygons] | None, list[int]]:
    """The outlines of instances, and which positions in `kept` have one: a mask may be empty."""
    outlines = [one.instances.outlines[n] for n in kept]
    every = list(range(len(kept)))
    own = [
        each
        for each, crowd in zip(one.instances.outlines, one.instances.crowd, strict=True)
        if not crowd
    ]
    if not own or own[0] is None:
        return None, every
    if isinstance(own[0], RunLengths):
        if not kept:
            return torch.empty(0, *size, dtype=torch.bool), every
        masks = torch.from_numpy(np.stack([_mask(outline, size) for outline in outlines]))
        if flip:
            masks = masks.flip(-1)
        seen = masks.any(-1).any(-1).nonzero()[:, 0]
        return masks[seen], seen.tolist()
    width = size[1]
    factors = width / one.size[1], size[0] / one.size[0]
    return [_polygons(outline, factors, width if flip else None) for outline in outlines], every


def _mask(outline: Outline, size: Size) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    assert isinstance(outline, RunLengths)
    if outline.size == size:
        return outline.mask()
    mask = Image.fromarray(outline.mask().astype(np.uint8))
    small = mask.resize(size[::-1], Image.Resampling.NEAREST)
    return np.asarray(small).astype(np.bool_)


def _polygons(outline: Outline, factors: tuple[float, float], mirror: int | None) -> Polygons:
    """The outline at another size; `mirror`: the image's width, if it is mirrored."""
    assert isinstance(outline, tuple)
    return [_moved(part, factors, mirror).ravel().tolist() for part in outline]


def _moved(part: Floats, factors: tuple[float, float], mirror: int | None) -> Floats:
    points: Floats = part.reshape(-1, 2) * factors
    if mirror is not None:
        points[:, 0] = mirror - points[:, 0]
    return points
