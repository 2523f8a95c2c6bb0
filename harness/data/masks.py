"""Images with semantic masks: in memory, or in files that are decoded when they are needed."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from harness.data.pictures import content_of, decode
from harness.errors import DataError, NoData
from harness.imagefolder import shown, some
from harness.mask_files import absent, digest, sizes
from harness.runtime.cores import helpers

IGNORED = 255
"""Label of pixels that neither training nor the measure counts (VOC's borders, Cityscapes' other
classes)."""

Pair = tuple[Tensor, Tensor]
"""An image, uint8 (3, H, W), and its mask, uint8 (H, W): a class or IGNORED for each pixel."""

Used = TypeVar("Used")


class MaskedImages(ABC):
    """n images with masks."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def pair(self, i: int) -> Pair:
        """Image i and its mask.

        Raises:
            DataError: a file is missing or damaged, the sizes differ, or the mask has a label that
                is no class.
        """

    @abstractmethod
    def size(self, i: int) -> tuple[int, int]:
        """Height and width of image i, without decoding it; DataError as in `pair`."""

    @abstractmethod
    def subset(self, index: Tensor) -> MaskedImages:
        """Only the images at `index`, int64 (n,), in that order."""

    @abstractmethod
    def digest(self) -> bytes:
        """A hash of pixels and masks in memory, or of the files' names and sizes."""

    def load(self, index: Tensor, use: Callable[[int, Pair], Used]) -> list[Used]:
        """What `use` makes of each pair at `index`, int64 (n,), given its position in `index`; in
        threads where files are decoded.

        Raises:
            NoData: as in `pair`.
        """
        return [use(n, self.pair(i)) for n, i in enumerate(index.tolist())]


class MaskStack(MaskedImages):
    """Images of one size in memory, uint8 (n, 3, H, W), with masks, uint8 (n, H, W)."""

    def __init__(self, images: Tensor, masks: Tensor) -> None:
        self.images, self.masks = images, masks

    def __len__(self) -> int:
        return len(self.images)

    def pair(self, i: int) -> Pair:
        return self.images[i], self.masks[i]

    def size(self, i: int) -> tuple[int, int]:  # noqa: ARG002
        return self.images.shape[2], self.images.shape[3]

    def subset(self, index: Tensor) -> MaskStack:
        return MaskStack(self.images[index], self.masks[index])

    def digest(self) -> bytes:
        total = hashlib.sha256(str(tuple(self.images.shape)).encode())
        for part in (self.images, self.masks):
            total.update(part.contiguous().numpy().tobytes())
        return total.digest()


Reader = Callable[[Path], Tensor]
"""Reads a mask's file as integers (H, W), one label for each pixel; DataError if it holds none."""


@dataclass(frozen=True)
class MaskFile:
    """An image's file, its mask's, and how to read the mask."""

    image: Path
    mask: Path
    read: Reader


class MaskFiles(MaskedImages):
    """Image files with mask files.

    Args:
        files: all exist.
        labels: (256,) int64: the class of each label in the files, IGNORED, or -1 for a label that
            may not occur.
        classes: what the labels are, for messages, e.g. "VOC has the labels 0 to 20 and 255".
    """

    def __init__(
        self, files: Sequence[MaskFile], labels: Tensor, classes: str, workers: int = 8
    ) -> None:
        self.files, self._labels, self._classes, self._workers = files, labels, classes, workers
        self._pool = helpers(workers, "masks")

    def __len__(self) -> int:
        return len(self.files)

    def size(self, i: int) -> tuple[int, int]:
        path = self.files[i].image
        with suppress(Exception):  # Pillow's plugins raise errors of any type on damaged files
            if path.is_file():  # opening a pipe would wait for ever
                with Image.open(path) as image:  # reads the header only
                    return image.height, image.width
        whole = decode(path)  # says what is wrong
        return whole.height, whole.width

    def pair(self, i: int) -> Pair:
        file = self.files[i]
        image = pil_to_tensor(decode(file.image))
        labels = file.read(file.mask)
        if labels.shape != image.shape[1:]:
            (height, width), (tall, wide) = image.shape[1:], labels.shape
            raise DataError(
                f"{shown(file.mask)}: a mask of {wide} x {tall} pixels, but {shown(file.image)} "
                f"has {width} x {height}; restore both from the data set's source: one was resized"
            )
        mask = self._labels[labels.clamp(0, 255)]
        mask[(labels < 0) | (labels > 255)] = -1
        if bool((mask < 0).any()):
            unknown = sorted(set(labels[mask < 0].tolist()))
            raise DataError(
                f"{shown(file.mask)}: has the label{'s' * (len(unknown) > 1)} "
                f"{some([str(each) for each in unknown])}, but {self._classes}; restore the mask "
                f"of {shown(file.image)} from the data set's source, or remove both from the list"
            )
        return image, mask.to(torch.uint8)

    def load(self, index: Tensor, use: Callable[[int, Pair], Used]) -> list[Used]:
        def one(n: int, i: int) -> Used:
            return use(n, self.pair(i))

        try:
            return list(self._pool.map(one, range(len(index)), index.tolist()))
        except DataError as error:
            raise NoData(str(error)) from error

    def subset(self, index: Tensor) -> MaskFiles:
        chosen = [self.files[i] for i in index.tolist()]
        return MaskFiles(chosen, self._labels, self._classes, self._workers)

    def digest(self) -> bytes:
        return digest(sizes(path for each in self.files for path in (each.image, each.mask)))


def labels_table(classes: int) -> Tensor:
    """The table of masks whose labels are the classes, [0, classes) and IGNORED; see MaskFiles."""
    table = torch.full((256,), -1)
    table[:classes] = torch.arange(classes)
    table[IGNORED] = IGNORED
    return table


def read_indexed(path: Path) -> Tensor:
    """The labels of an indexed or grey PNG file, int64 (H, W).

    Raises:
        DataError: it cannot be read, or is a picture of colours.
    """
    content = content_of(path)
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode = image.mode
            labels = np.array(image) if mode in ("P", "L") else None
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{shown(path)}: too many pixels ({error}); make image and mask smaller, or remove "
            "both from the list"
        ) from error
    except Exception as error:  # Pillow's plugins raise errors of any type on damaged files
        # Pillow's own text names the object in memory.
        unknown = isinstance(error, UnidentifiedImageError)
        why = "not a format that Pillow knows" if unknown else error
        raise DataError(
            f"{shown(path)}: not a readable mask ({why if content else 'the file is empty'}); "
            "restore it from the data set's source"
        ) from error
    if labels is None:
        raise DataError(
            f"{shown(path)}: a picture of mode {mode}, but a mask is an indexed or grey PNG file "
            "with a label for each pixel; use the data set's masks as they are published"
        )
    return torch.from_numpy(labels).long()


def existing(files: Sequence[MaskFile], listed: Path, mend: str) -> Sequence[MaskFile]:
    """The same files, all of which exist.

    Args:
        listed: the list, or folder, that names the images.
        mend: what to do about a missing mask.

    Raises:
        DataError: there are none, or an image or a mask is missing.
    """
    if not files:
        raise DataError(f"{shown(listed)}: names no image; restore it from the data set's source")
    for what, paths in (
        ("image", [file.image for file in files]),
        ("mask", [file.mask for file in files]),
    ):
        if gone := absent(paths):
            do = mend if what == "mask" else "restore them from the data set's source"
            raise DataError(
                f"{shown(listed)}: {len(gone):,} of its {len(files):,} images have no {what} file: "
                f"{some([str(path) for path in gone])}; {do}"
            )
    return files
