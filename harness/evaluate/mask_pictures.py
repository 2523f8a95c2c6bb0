"""Pictures of masks: each class in a colour of its own, the same in every picture."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence

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

LEAST, MOST = 144, 256
"""Pixels: lower pictures are enlarged by a whole factor to at least LEAST, and longer ones shrunk
to MOST."""

UNCOUNTED = "not counted"
"""What IGNORED is called in a legend."""


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


def legend(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(class, its colour as "#rrggbb") of each class, and of pixels that are not counted."""
    labels = {**dict(enumerate(names)), IGNORED: UNCOUNTED}
    return tuple(
        (name, f"#{bytes(palette()[label].tolist()).hex()}") for label, name in labels.items()
    )


def image_png(image: Tensor) -> bytes:
    """An image, uint8 (3, H, W), as a PNG file of a size for a page."""
    return png(sized(Image.fromarray(image.permute(1, 2, 0).numpy()), Image.Resampling.BOX))


def mask_png(mask: Tensor) -> bytes:
    """A mask, uint8 (H, W) of classes or IGNORED, as a PNG file of the same size as its image."""
    made = Image.fromarray(mask.numpy(), "P")
    made.putpalette(palette().numpy().tobytes())
    return png(sized(made, Image.Resampling.NEAREST))


def shares(mask: Tensor, names: Sequence[str]) -> str:
    """What a mask shows, in words: "background 81 %, disc 19 %", the largest first."""
    counts = torch.bincount(mask.flatten().long(), minlength=256)
    largest = counts.sort(descending=True, stable=True)
    found = []
    for count, label in zip(largest.values.tolist(), largest.indices.tolist(), strict=True):
        if count:
            name = UNCOUNTED if label == IGNORED else names[label]
            found.append(f"{name} {100 * count / mask.numel():.0f} %")
    return ", ".join(found)


def sample(images: int, count: int) -> list[int]:
    """The numbers of `count` of `images` test images, the same for every run, in order."""
    chosen: list[int] = (
        keyed.permutation(keyed.key("pictures"), images)[:count].sort().values.tolist()
    )
    return chosen


def sized(made: Image.Image, shrink: Image.Resampling) -> Image.Image:
    """A picture of a size for a page: see LEAST."""
    times = -(-LEAST // made.height)
    size = made.width * times, made.height * times
    longest = max(size)
    if longest > MOST and times == 1:
        size = tuple(max(1, round(side * MOST / longest)) for side in size)  # type: ignore[assignment]
    if size != made.size:
        made = made.resize(size, Image.Resampling.NEAREST if times > 1 else shrink)
    return made


def png(made: Image.Image) -> bytes:
    """The picture as a PNG file."""
    file = io.BytesIO()
    made.save(file, "PNG", optimize=True)
    return file.getvalue()
