"""Images with annotated instances: a box, a class and an outline for each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.data.pictures import decode
from harness.errors import DataError, NoData
from harness.imagefolder import shown
from harness.mask_files import sizes

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_ORIENTATION = 0x0112  # EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Used = TypeVar("Used")


@dataclass(frozen=True)
class RunLengths:
    """A mask of H x W pixels as COCO encodes it: lengths of runs of equal pixels, column by column,
    beginning with the pixels outside."""

    size: tuple[int, int]
    counts: NDArray[np.int64]

    def mask(self) -> Bools:
        """bool (H, W)."""
        inside = np.arange(len(self.counts)) % 2 == 1
        height, width = self.size
        return np.repeat(inside, self.counts).reshape(width, height).T


Outline = tuple[Floats, ...] | RunLengths | None
"""Polygons, each x1, y1, x2, y2, ... in pixels; or a mask; None if it is not read."""


@dataclass(frozen=True)
class Instances:
    """What is annotated in an image, n instances; n may be 0. Nothing is left out or clipped."""

    extents: Floats
    """(n, 4): x and y of the upper left corner, width and height in pixels, as COCO writes them: so
    no digit is lost on the way to an evaluation."""
    labels: NDArray[np.int64]
    """(n,), classes from 0."""
    crowd: Bools
    """(n,): several objects under one outline (COCO)."""
    difficult: Bools
    """(n,): not counted by VOC's evaluation."""
    areas: Floats
    """(n,), in pixels, as the annotation has them: they divide COCO's small from its large."""
    outlines: tuple[Outline, ...]

    @property
    def boxes(self) -> Floats:
        """(n, 4): x1, y1, x2, y2 in pixels."""
        corner, sides = self.extents[:, :2], self.extents[:, 2:]
        return np.concatenate([corner, corner + sides], 1)

    def __len__(self) -> int:
        return len(self.labels)


def instances(
    extents: Sequence[Sequence[float]],
    labels: Sequence[int],
    *,
    crowd: Sequence[bool] | None = None,
    difficult: Sequence[bool] | None = None,
    areas: Sequence[float] | None = None,
    outlines: Sequence[Outline] | None = None,
) -> Instances:
    """Instances from lists; see there. None: all False, the boxes' areas, no outlines."""
    n = len(labels)
    boxes = np.array(extents, dtype=np.float64).reshape(n, 4)
    return Instances(
        boxes,
        np.array(labels, dtype=np.int64),
        np.array(crowd or [False] * n, dtype=np.bool_),
        np.array(difficult or [False] * n, dtype=np.bool_),
        boxes[:, 2:].clip(min=0).prod(1) if areas is None else np.array(areas, dtype=np.float64),
        (None,) * n if outlines is None else tuple(outlines),
    )


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and what is annotated in it."""

    id: int | str
    """The data set's own name of it, unique in a split."""
    size: tuple[int, int]
    """Height and width by the annotation."""
    source: Path | Image.Image
    """The image's file, or the image itself."""
    annotated: Path | None
    """The file with the annotation."""
    instances: Instances

    @property
    def is_learnable(self) -> bool:
        """Whether a detector trains on it: not on images without annotation or with crowds only."""
        return not bool(self.instances.crowd.all())

    @property
    def is_wide(self) -> bool:
        """Which of two groups by aspect ratio it belongs to."""
        height, width = self.size
        return width > height


class InstanceImages:
    """A split of a data set."""

    def __init__(self, images: Sequence[AnnotatedImage], workers: int = 8) -> None:
        from harness.runtime.cores import helpers  # loads torch, which reading annotations does not

        self.images, self._workers = images, workers
        self._pool = helpers(workers, "instances")

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, i: int) -> Image.Image:
        """Image i as RGB, turned as its camera's orientation tag says: annotations are made on what
        a viewer shows.

        Raises:
            DataError: it is missing or damaged, or not of the annotated size.
        """
        one = self.images[i]
        if isinstance(one.source, Image.Image):
            return one.source
        image = upright(decode(one.source))
        if image.size != one.size[::-1]:
            (width, height), (tall, wide) = image.size, one.size
            by = f" by {shown(one.annotated)}" if one.annotated else ""
            raise DataError(
                f"{shown(one.source)}: {width} x {height} pixels, but {wide} x {tall}{by}; restore "
                "both from the data set's source: one was changed, or is another data set's"
            )
        return image

    def subset(self, index: Tensor) -> InstanceImages:
        """Only the images at `index`, int64 (n,), in that order."""
        return InstanceImages([self.images[i] for i in index.tolist()], self._workers)

    def learnable(self) -> InstanceImages:
        """Only the images that a detector trains on."""
        return InstanceImages([one for one in self.images if one.is_learnable], self._workers)

    def load(self, index: Tensor, use: Callable[[int, int], Used]) -> list[Used]:
        """What `use` makes of each position in `index`, int64 (n,), and the image's number there;
        in threads.

        Raises:
            NoData: `use` raised a DataError.
        """
        try:
            return list(self._pool.map(use, range(len(index)), index.tolist()))
        except DataError as error:
            raise NoData(str(error)) from error

    def digest(self) -> bytes:
        """A hash of the annotations, and of the files' names and sizes or the pixels.

        Raises:
            DataError: a file is missing, or cannot be read.
        """
        total = hashlib.sha256()
        for one in self.images:
            said = one.instances
            total.update(f"{one.id}\0{one.size}\0{len(said)}\0".encode())
            for part in (said.extents, said.labels, said.crowd, said.difficult, said.areas):
                total.update(part.tobytes())
            for outline in said.outlines:
                total.update(_outline_bytes(outline))
            if isinstance(one.source, Path):
                ((path, size),) = sizes([one.source])
                total.update(os.fsencode(f"{path.name}:{size}\0"))
            else:
                total.update(one.source.tobytes())
        return total.digest()


def _outline_bytes(outline: Outline) -> bytes:
    if outline is None:
        return b"-"
    if isinstance(outline, RunLengths):
        return f"r{outline.size}{len(outline.counts)}".encode() + outline.counts.tobytes()
    return b"".join(f"p{len(part)}".encode() + part.tobytes() for part in outline)


def upright(image: Image.Image) -> Image.Image:
    """The image as a viewer shows it, by its camera's orientation tag."""
    try:
        tag: Any = image.getexif().get(_ORIENTATION)
    except Exception:  # Pillow raises errors of any type on damaged tags, which viewers overlook
        return image
    return image.transpose(_UPRIGHT[tag]) if tag in _UPRIGHT else image
