"""Whether masks can be trained on: each is readable, as large as its image, and has only labels of
its data set. Training reads them one by one, hours after pre-training began."""

from __future__ import annotations

import os
import stat
import time
import warnings
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.imagefolder import shown, some, unread
from harness.input_notes import Note, damaged
from harness.mask_files import Pair, pairs_of
from harness.recipe.segmentation import MASK_FOLDERS, MaskName, SegmentationTask
from harness.recipe.task import TaskSection

VOC = frozenset({*range(21), 255})
LABELS: dict[MaskName, frozenset[int]] = {
    "voc2007": VOC,
    "voc2012": VOC,
    "voc2012_aug": VOC,
    "cityscapes": frozenset({*range(34), 255}),
}
"""The labels that the files of a data set may have; scenes have no files."""


def damaged_masks(
    tasks: Iterable[TaskSection], root: AnyRoot, runs: Path, within_s: float = float("inf")
) -> list[str]:
    """What is wrong with the masks that the tasks train and test on, in sentences with what to do.

    Masks that were found whole are noted under the run root, and are not read again until they or
    their images change.

    Args:
        within_s: seconds after which the rest is left to the next call.
    """
    until = time.monotonic() + within_s
    names = dict.fromkeys(each.masks.name for each in tasks if isinstance(each, SegmentationTask))
    return [wrong for name in names if name in LABELS for wrong in _of_set(name, root, runs, until)]


def _of_set(name: MaskName, root: AnyRoot, runs: Path, until: float) -> list[str]:
    note = Note(runs, root / MASK_FOLDERS[name][0] / f"masks of {name}")
    try:
        pairs = list(chain.from_iterable(pairs_of(name, root)))
        with warnings.catch_warnings():  # around all threads: it is the process's, not a thread's
            warnings.simplefilter("ignore")  # a large image is no news here
            return damaged(
                note, f"masks of {name}", pairs, lambda pair: why_damaged(pair, LABELS[name]), until
            )
    except (DataError, OSError):
        return []  # what is missing is told where the names are checked


def why_damaged(pair: Pair, labels: frozenset[int]) -> str:
    """Why the mask cannot be used, and what to do; "" if it can."""
    from PIL import Image

    mend = "restore it from the data set's source"
    smaller = "make image and mask smaller, or remove both from the list"
    for path in pair:
        if why := _why_unopened(path, mend):
            return why
    try:
        with Image.open(pair.image) as image:  # reads the header only
            size = image.size
    except Image.DecompressionBombError as error:
        return f"{shown(pair.image)}: too many pixels ({error}); {smaller}"
    except Exception as error:  # Pillow's plugins raise errors of any type on damaged files
        return f"{shown(pair.image)}: not a readable image ({error}); {mend}"
    try:
        if pair.mask.suffix == ".mat":
            own, found = _of_mat(pair.mask)
        else:
            with Image.open(pair.mask) as mask:
                if mask.mode not in ("P", "L"):
                    return (
                        f"{shown(pair.mask)}: a picture of mode {mask.mode}, but a mask is an "
                        "indexed or grey PNG file with a label for each pixel; use the data "
                        "set's masks as they are published"
                    )
                own = mask.size
                if own == size:  # else there is no need to decode it
                    found = {label for label, n in enumerate(mask.histogram()) if n}
    except Image.DecompressionBombError as error:
        return f"{shown(pair.mask)}: too many pixels ({error}); {smaller}"
    except Exception as error:
        return f"{shown(pair.mask)}: not a readable mask ({error}); {mend}"
    if own != size:
        return (
            f"{shown(pair.mask)}: a mask of {own[0]} x {own[1]} pixels, but {shown(pair.image)} "
            f"has {size[0]} x {size[1]}; restore both from the data set's source: one was resized"
        )
    if unknown := sorted(found - labels):
        return (
            f"{shown(pair.mask)}: has the label{'s' * (len(unknown) > 1)} "
            f"{some([str(each) for each in unknown])}, but the set has 0 to {max(labels - {255})} "
            f"and 255; {mend}, or remove its image from the list"
        )
    return ""


def _why_unopened(path: Path, mend: str) -> str:
    """Why the file cannot be opened, which does not mean that it is damaged; "" if it can."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        return str(unread(error, path))
    regular = stat.S_ISREG(os.fstat(file).st_mode)
    os.close(file)
    return "" if regular else f"{shown(path)}: not a regular file; {mend}"  # a pipe might never end


def _of_mat(path: Path) -> tuple[tuple[int, int], set[int]]:
    """Width and height, and the labels, of a mask of SBD."""
    from scipy.io import loadmat

    found = loadmat(str(path))["GTcls"][0]["Segmentation"][0]
    return (found.shape[1], found.shape[0]), {int(each) for each in set(found.flat)}
