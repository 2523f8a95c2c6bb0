"""Pictures of predicted masks beside the true ones."""

from __future__ import annotations

import base64
import functools
import io

import torch
from PIL import Image
from torch import Tensor

from harness.data.masks import IGNORED
from harness.runtime import keyed

_BASE = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0),
         (240, 228, 66))  # fmt: skip
"""Okabe and Ito's colours, which colour-blind readers can distinguish."""

_SHADES = (0.0, 0.55, -0.5)
"""Share of white (or, negative, of black) in classes 1 to 7, 8 to 14 and 15 to 21."""

_CLASS_0 = (40, 40, 40)
_IGNORED = (255, 255, 255)
_GAP = 4
"""White pixels between the panels."""

LEAST = 144
"""Panels are enlarged by a whole factor to at least this height."""


@functools.cache
def palette() -> Tensor:
    """The colour of each label, uint8 (256, 3), the same in every picture: class 0 dark grey,
    IGNORED white, 21 others distinct; from class 22 on they repeat."""
    colours = [
        [round(part + ((255 if share > 0 else 0) - part) * abs(share)) for part in base]
        for share in _SHADES
        for base in _BASE
    ]
    table = torch.tensor(colours, dtype=torch.uint8)
    table = table[(torch.arange(256) - 1) % len(table)]
    table[0] = torch.tensor(_CLASS_0, dtype=torch.uint8)
    table[IGNORED] = torch.tensor(_IGNORED, dtype=torch.uint8)
    return table


def side_by_side(image: Tensor, true: Tensor, predicted: Tensor) -> bytes:
    """A PNG file: the image, its true mask and its predicted mask, from left to right.

    Args:
        image: uint8 (3, H, W).
        true, predicted: uint8 (H, W), classes; IGNORED in `true` is white.

    Raises:
        ValueError: the sizes differ.
    """
    if not image.shape[1:] == true.shape == predicted.shape:
        shapes = [tuple(each.shape) for each in (image, true, predicted)]
        raise ValueError(f"an image and masks of different sizes: {shapes}")
    panels = [image.permute(1, 2, 0), *(palette()[mask.long()] for mask in (true, predicted))]
    times = -(-LEAST // image.shape[1])
    large = [each.repeat_interleave(times, 0).repeat_interleave(times, 1) for each in panels]
    gap = torch.full((large[0].shape[0], _GAP, 3), 255, dtype=torch.uint8)
    row = torch.cat([large[0], gap, large[1], gap, large[2]], 1)
    file = io.BytesIO()
    Image.fromarray(row.numpy()).save(file, "PNG", optimize=True)
    return file.getvalue()


def data_uri(png: bytes) -> str:
    """A PNG file as the address of an image in a page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def sample(images: int, count: int) -> list[int]:
    """The numbers of `count` of `images` test images, the same for every run, in order."""
    chosen: list[int] = (
        keyed.permutation(keyed.key("pictures"), images)[:count].sort().values.tolist()
    )
    return chosen
