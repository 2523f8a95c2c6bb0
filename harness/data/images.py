"""Images at rest: stacked in memory, or as files that are decoded when a step wants them.

Both hand out `Loaded` batches, which know their sizes (so that crops can be drawn) and cut views.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import torch
import torchvision.transforms.functional as vision
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms import InterpolationMode

from harness.data.augment import crop_resize
from harness.data.reference import crop_resize_pil
from harness.errors import DataError
from harness.runtime.cores import helpers
from harness.runtime.moving import moved

CENTER = 224 / 256
"""Share of the short side that the evaluation crop keeps (code: Resize(256), CenterCrop(224))."""

RESIDENT = 4 << 30
"""Bytes of pixels up to which a data set lives whole on a GPU."""


class Loaded(Protocol):
    """A batch of n images, decoded."""

    @property
    def sizes(self) -> tuple[int, int] | Tensor:
        """(H, W) of all, or int64 (n, 2)."""
        ...

    def crop(self, boxes: Tensor, size: int) -> Tensor:
        """Crops (n, 3, size, size), float32 in [0, 1], or uint8 where a file's pixels are resampled
        as Pillow does; boxes (n, 4) top, left, height, width."""
        ...

    def center(self, size: int) -> Tensor:
        """The evaluation view (n, 3, size, size), float32 in [0, 1]."""
        ...


class Images(Protocol):
    """n images with labels, int64 (n,); -1 where there is none."""

    labels: Tensor

    def __len__(self) -> int: ...

    def load(self, index: Tensor) -> Loaded:
        """The images at `index`, int64 (n,).

        Raises:
            DataError: a file is missing or no image.
        """
        ...

    def subset(self, index: Tensor) -> Images:
        """Only the images at `index`, in that order."""
        ...

    def to(self, device: torch.device) -> Images:
        """The same images, on `device` if they are in memory and fit there."""
        ...


class LoadedStack:
    """Images of one size, uint8 (n, 3, H, W)."""

    def __init__(self, stack: Tensor) -> None:
        self._stack = stack

    @property
    def sizes(self) -> tuple[int, int]:
        return self._stack.shape[2], self._stack.shape[3]

    def crop(self, boxes: Tensor, size: int) -> Tensor:
        return crop_resize(self._stack, boxes, size)

    def center(self, size: int) -> Tensor:
        stack = self._stack
        if self.sizes == (size, size):
            return stack.to(torch.float32) / 255
        x = stack.to(torch.float32) / 255
        resized = vision.resize(x, [round(size / CENTER)], antialias=True)
        return vision.center_crop(resized, [size, size])  # type: ignore[no-any-return]


class Stack:
    """Images of one size held in memory, uint8 (n, 3, H, W)."""

    def __init__(self, stack: Tensor, labels: Tensor) -> None:
        self.stack = stack
        self.labels = labels

    def __len__(self) -> int:
        return len(self.stack)

    def load(self, index: Tensor) -> LoadedStack:
        return LoadedStack(self.stack[moved(index, self.stack.device)])

    def subset(self, index: Tensor) -> Stack:
        return Stack(self.stack[index], self.labels[index])

    def to(self, device: torch.device) -> Stack:
        if self.stack.device == device or self.stack.nbytes > RESIDENT:
            return self
        return Stack(self.stack.to(device), self.labels)


class LoadedFiles:
    """Decoded images of any size."""

    def __init__(self, images: Sequence[Image.Image], pool: ThreadPoolExecutor) -> None:
        self._images = images
        self._pool = pool

    @property
    def sizes(self) -> Tensor:
        return torch.tensor([(image.height, image.width) for image in self._images])

    def crop(self, boxes: Tensor, size: int) -> Tensor:
        def one(image: Image.Image, box: list[int]) -> Tensor:
            return crop_resize_pil(image, (box[0], box[1], box[2], box[3]), size)

        return torch.stack(list(self._pool.map(one, self._images, boxes.tolist())))

    def center(self, size: int) -> Tensor:
        def one(image: Image.Image) -> Tensor:
            image = vision.resize(image, round(size / CENTER), InterpolationMode.BILINEAR)
            return vision.pil_to_tensor(vision.center_crop(image, [size, size]))  # type: ignore[no-any-return]

        return torch.stack(list(self._pool.map(one, self._images))).float() / 255


class Files:
    """Image files, decoded by threads (Pillow decodes outside the interpreter's lock)."""

    def __init__(
        self, paths: Sequence[Path], labels: Tensor, sizes: Sequence[int], workers: int = 8
    ) -> None:
        self.paths, self.labels = paths, labels
        self.bytes = sizes
        """Of each file, as it was found."""
        self._workers = workers
        self._pool = helpers(workers, "decode")

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: Tensor) -> LoadedFiles:
        paths = [self.paths[i] for i in index.tolist()]
        return LoadedFiles(list(self._pool.map(decode, paths)), self._pool)

    def to(self, device: torch.device) -> Files:  # noqa: ARG002
        return self

    def subset(self, index: Tensor) -> Files:
        paths, sizes = ([of[i] for i in index.tolist()] for of in (self.paths, self.bytes))
        return Files(paths, self.labels[index], sizes, self._workers)


def decode(path: Path) -> Image.Image:
    """The image in `path`, as RGB.

    Raises:
        DataError: it is missing, truncated, or no image.
    """
    try:
        return _rgb(path, str(path))
    except FileNotFoundError:
        raise DataError(f"{path}: the image has disappeared since the run began") from None


def decode_bytes(content: bytes, name: str) -> Image.Image:
    """The image whose file is `content`, as RGB; DataError, with `name`, if it is none or cut."""
    return _rgb(io.BytesIO(content), name)


def _rgb(source: Path | io.BytesIO, name: str) -> Image.Image:
    try:
        with Image.open(source) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        ValueError,
        SyntaxError,
    ) as error:
        raise DataError(
            f"{name}: not a readable image ({error}); restore it from the data set's source"
        ) from error
