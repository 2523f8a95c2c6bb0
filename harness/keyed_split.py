"""A keyed split: which images of class folders without train and val are the test set."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from harness.errors import DataError
from harness.imagefolder import SPLITS, Found, ImageFolder, listed_to_leave_out, shown, some, walk


def class_folders(folder: Path) -> ImageFolder:
    """FOLDER/<class>/<image>, without the images that its broken.txt lists.

    Raises:
        DataError: see walk; or it has train and val; or a class has only one image.
    """
    if all((folder / split).is_dir() for split in SPLITS):
        raise DataError(
            f"{shown(folder)}: it has train and val already: leave data.split out to use them"
        )
    found = walk(folder, {*listed_to_leave_out(folder)}, kind="classes")
    if single := [name for name, images in found.classes.items() if len(images) < 2]:
        raise DataError(
            f"{shown(folder)}: data.split needs two images or more of a class, and there is one of "
            f"{some(single)}; add some, or take the class away"
        )
    return found


def held_out(images: Sequence[Found], share: float) -> set[str]:
    """The names of the test images of one class: `share` of them, at least one, never all.

    An image's place in the order depends on its own name alone. So an added image moves few
    others, and the split is the same for every seed.
    """
    ordered = sorted((image.name for image in images), key=_score)
    return {*ordered[: number_held_out(len(images), share)]}


def number_held_out(images: int, share: float) -> int:
    """How many of a class's images are test images."""
    return max(1, min(images - 1, round(images * share)))


def _score(name: str) -> tuple[bytes, str]:
    return hashlib.blake2b(b"split\0" + os.fsencode(name), digest_size=8).digest(), name
