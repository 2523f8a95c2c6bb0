"""Thumbnails, and the names of classes."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from harness.data import embedded
from harness.data.images import Files, Images
from harness.data.packed import Packed
from harness.imagefolder import SPLITS

SIDE = 80
"""Pixels; larger images are shrunk to it."""

_NAMES = {
    "embedded": embedded.CLASSES,
    "cifar10": (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
    "stl10": (
        *("airplane", "bird", "car", "cat", "deer"),
        *("dog", "horse", "monkey", "ship", "truck"),
    ),
}


def png(image: Tensor) -> bytes:
    """An image, float32 (3, H, W) in [0, 1], as a PNG file of at most SIDE pixels a side."""
    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().byte()
    made = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    made.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    file = io.BytesIO()
    made.save(file, "PNG", optimize=True)
    return file.getvalue()


def class_names(name: str, count: int, parts: Sequence[Images]) -> list[str]:
    """The classes' names: of an image folder those of its folders, else "class 7" where no name is
    known.

    Args:
        name: of the data set, as in the recipe.
        count: number of classes.
        parts: images of the set.
    """
    if name in _NAMES:
        return list(_NAMES[name])
    found: dict[int, set[str]] = {}
    for images in parts:
        if isinstance(images, Files | Packed):
            for label, folder in zip(images.labels.tolist(), _class_folders(images), strict=True):
                found.setdefault(label, set()).add(folder)
    every = [folder for folders in found.values() for folder in folders]
    if len(every) != len(found) or len(set(every)) != len(every):
        found = {}  # the folders are not the classes
    return [next(iter(found.get(n, ())), "") or f"class {n}" for n in range(count)]


def _class_folders(images: Files | Packed) -> list[str]:
    """The folder of each image's class: [<split>/]<class>/.../<image> in a folder of images. Of a
    deeper image, a pack knows only the folder that holds it."""
    within = [name.rpartition("/")[0] for name in images.names]
    if not isinstance(images, Files) or images.folder is None:
        return within
    parts = [path.relative_to(images.folder).parts[:-1] for path in images.paths]
    own = [each[1:] if each and each[0] in SPLITS else each for each in parts]
    return [each[0] if each else name for each, name in zip(own, within, strict=True)]
