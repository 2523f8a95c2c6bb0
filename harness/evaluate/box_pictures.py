"""Pictures of boxes and masks on an image: each class in a colour of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from harness.data.coco_instances import decompressed
from harness.data.instances import Bools, Instances, Outline, RunLengths
from harness.evaluate.detections import Found
from harness.evaluate.mask_pictures import palette, png, sized

LEAST_SCORE = 0.5
"""Detections with a lower score are not drawn, but for the first of an image where all are lower:
most of up to 100 of an image are improbable."""

WIDTH = 2
"""Of a line, in pixels of the picture."""

COVER = 0.5
"""Opacity of a mask."""


def objects_png(image: Tensor, true: Instances) -> bytes:
    """The annotated objects of an image, uint8 (3, H, W), without crowds, as a PNG file."""
    size = image.shape[1], image.shape[2]
    own = [n for n, crowd in enumerate(true.crowd.tolist()) if not crowd]
    masks = [_mask(true.outlines[n], size) for n in own]
    return _png(image, true.boxes[own], true.labels[own], masks)


def detections_png(image: Tensor, found: Found) -> bytes:
    """What is found in an image, uint8 (3, H, W), as a PNG file; see LEAST_SCORE."""
    size = image.shape[1], image.shape[2]
    own = _shown(found)
    masks: list[Bools | None] = [None] * len(own)
    if found.masks is not None:
        runs = [np.array(decompressed(found.masks[n].decode()), np.int64) for n in own]
        masks = [RunLengths(size, counts).mask() for counts in runs]
    return _png(image, found.boxes[own].astype(np.float64), found.labels[own], masks)


def legend(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(class, its colour as "#rrggbb") of each class."""
    return tuple((name, f"#{bytes(_colour(n)).hex()}") for n, name in enumerate(names))


def objects_text(true: Instances, names: Sequence[str]) -> str:
    """What is annotated, in words: "disc, ring"."""
    return ", ".join(names[label] for label in true.labels[~true.crowd].tolist()) or "nothing"


def detections_text(found: Found, names: Sequence[str]) -> str:
    """What is found, in words, the most probable first: "disc 0.93, ring 0.71"."""
    own = _shown(found)
    listed = [f"{names[found.labels[n]]} {found.scores[n]:.2f}" for n in own]
    return ", ".join(listed) or "nothing"


def _shown(found: Found) -> list[int]:
    order: list[int] = np.argsort(-found.scores, kind="stable").tolist()
    return [n for n in order if found.scores[n] >= LEAST_SCORE] or order[:1]


def _colour(label: int) -> list[int]:
    """Not the colour of a mask's class 0, the background: no box has this class."""
    colour: list[int] = palette()[1 + label].tolist()
    return colour


def _mask(outline: Outline, size: tuple[int, int]) -> Bools | None:
    if outline is None or isinstance(outline, RunLengths):
        return None if outline is None else outline.mask()
    drawn = Image.new("1", size[::-1])
    for part in outline:
        ImageDraw.Draw(drawn).polygon(part.tolist(), fill=1)
    return np.asarray(drawn)


def _png(
    image: Tensor,
    boxes: NDArray[np.float64],
    labels: NDArray[np.int64],
    masks: Sequence[Bools | None],
) -> bytes:
    """The image with the boxes (n, 4) and masks of n objects, the first on top."""
    height, width = image.shape[1:]
    pixels = image.permute(1, 2, 0).numpy().astype(np.float64)
    colours = [_colour(label) for label in labels.tolist()]
    for colour, mask in list(zip(colours, masks, strict=True))[::-1]:
        if mask is not None:
            pixels[mask] = (1 - COVER) * pixels[mask] + COVER * np.array(colour)
    made = sized(Image.fromarray(pixels.round().astype(np.uint8)), Image.Resampling.BOX)
    draw = ImageDraw.Draw(made)
    across, down = made.width / width, made.height / height
    for colour, (x1, y1, x2, y2) in list(zip(colours, boxes.tolist(), strict=True))[::-1]:
        left, top = round(x1 * across), round(y1 * down)
        right, bottom = max(left, round(x2 * across) - 1), max(top, round(y2 * down) - 1)
        draw.rectangle((left, top, right, bottom), outline=tuple(colour), width=WIDTH)
    return png(made)
