"""Stored images: stacked in memory, or in files that are decoded when a step needs them.

Both return `Loaded` batches, which know their images' sizes (to draw crops) and cut views.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import torch
import torchvision.transforms.functional as vision
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode

from harness import command
from harness.data.augment import crop_resize
from harness.data.pictures import decode
from harness.data.reference import crop_resize_pil
from harness.errors import DataError, NoData
from harness.imagefolder import LEFT_OUT, shown
from harness.runtime.cores import helpers
from harness.runtime.device_copy import moved

CENTER = 224 / 256
"""Share of the short side that the evaluation crop keeps (code: Resize(256), CenterCrop(224))."""

RESIDENT = 4 << 30
"""Most bytes of pixels that a data set may have to be kept on a GPU."""

LISTING_S = 10.0
"""Seconds spent on finding further broken images, after a run finds one."""
AT_ONCE, NAMED = 64, 10


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

    @property
    def view(self) -> str:
        """The evaluation view: "center", or "whole" where `Loaded.center` cuts nothing off."""
        ...

    def __len__(self) -> int: ...

    def load(self, index: Tensor) -> Loaded:
        """The images at `index`, int64 (n,).

        Raises:
            DataError: files are missing, or hold no image.
        """
        ...

    def subset(self, index: Tensor) -> Images:
        """Only the images at `index`, in that order."""
        ...

    def to(self, device: torch.device) -> Images:
        """The same images; those in memory are moved to `device` if they fit there."""
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

    view = "center"

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


class Encoded(ABC):
    """Encoded images, decoded by threads (Pillow decodes outside the interpreter's lock)."""

    labels: Tensor
    view = "center"
    mend = ""
    """What a user can do about broken images; the end of a message."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = helpers(workers, "decode")
        self._spoilt: str | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def picture(self, i: int) -> Image.Image:
        """Image `i`, as RGB; DataError if it is no image, or cannot be read."""

    def load(self, index: Tensor) -> LoadedFiles:
        """See Images.

        Raises:
            NoData: some of them are broken. Other images are then checked for a while, so that the
                user learns of all broken ones at once.
        """
        if self._spoilt is None:
            found = list(self._pool.map(self._tried, index.tolist()))
            good = [each for each in found if not isinstance(each, DataError)]
            if len(good) == len(found):
                return LoadedFiles(good, self._pool)
            pairs = zip(index.tolist(), found, strict=True)
            broken = {i: str(each) for i, each in pairs if isinstance(each, DataError)}
            checked = self.decode_all(broken, until=time.monotonic() + LISTING_S)
            self._spoilt = broken_text(broken, checked, len(self), self.mend)
        raise NoData(self._spoilt)

    def decode_all(
        self,
        broken: dict[int, str],
        tell: Callable[[int], object] = lambda _: None,
        until: float = math.inf,
    ) -> int:
        """Decode one image after the other, until all are done or the time (monotonic) is over.

        Writes each broken image's error into `broken`. Calls `tell` now and then with the number
        of images done, and returns that number.
        """
        for start in range(0, len(self), AT_ONCE):
            if time.monotonic() >= until:
                return start
            block = range(start, min(start + AT_ONCE, len(self)))
            wrong = zip(block, self._pool.map(self._wrong, block), strict=True)
            broken.update((i, error) for i, error in wrong if error)
            tell(block.stop)
        return len(self)

    def _tried(self, i: int) -> Image.Image | DataError:
        try:
            return self.picture(i)
        except DataError as error:
            return error

    def _wrong(self, i: int) -> str:
        found = self._tried(i)
        return str(found) if isinstance(found, DataError) else ""


def broken_text(broken: dict[int, str], checked: int, count: int, mend: str) -> str:
    """How many of `count` images are broken, the first ten, and what to do.

    The first one is in the first line, as some displays show only that.

    Args:
        broken: the error of each, by its number.
        checked: how many images were checked, from the first.
    """
    seen = "" if checked == count else f" ({checked:,} were checked)"
    are = "1 image of" if len(broken) == 1 else f"{len(broken):,} images of"
    first, *more = (broken[i] for i in sorted(broken)[:NAMED])
    lines = [f"{are} {count:,} cannot be used{seen}: {first}", *(f"  {each}" for each in more)]
    if len(broken) > NAMED:
        lines.append(f"  and {len(broken) - NAMED:,} more")
    return "\n".join(filter(None, [*lines, mend]))


class Files(Encoded):
    """Image files.

    Args:
        folder: the image folder that contains them, if any.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Tensor,
        sizes: Sequence[int],
        folder: Path | None = None,
        workers: int = 8,
    ) -> None:
        super().__init__(workers)
        self.paths, self.labels, self.folder = paths, labels, folder
        self.bytes = sizes
        """Size of each file, in bytes, when it was found."""
        if folder is not None:
            self.mend = mend_by_list(folder)

    @property
    def names(self) -> list[str]:
        """The name of each in the data's fingerprint: <folder>/<file>, as a pack has it."""
        return [f"{path.parent.name}/{path.name}" for path in self.paths]

    def picture(self, i: int) -> Image.Image:
        return decode(self.paths[i])

    def to(self, device: torch.device) -> Files:  # noqa: ARG002
        return self

    def subset(self, index: Tensor) -> Files:
        paths, sizes = ([of[i] for i in index.tolist()] for of in (self.paths, self.bytes))
        return type(self)(paths, self.labels[index], sizes, self.folder, self._workers)


def mend_by_list(folder: Path) -> str:
    """What to do about broken images in an image folder."""
    finds = shown(command.line("data", "check", folder.absolute(), "--leave-out"))
    return f"repair them, or leave them out: {finds} lists all of them in the folder's {LEFT_OUT}"
