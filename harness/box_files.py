"""Files of the published data sets with boxes, and which of them are trained and tested on."""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path

from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.imagefolder import shown
from harness.mask_files import Pair, names_in, voc_folder
from harness.recipe.detection import BoxName

COCO = "coco"
"""COCO's folder in the data root."""

IMAGES = (".jpg", ".jpeg", ".png")

YEARS: dict[BoxName, tuple[int, ...]] = {"voc2007": (2007,), "voc0712": (2007, 2012)}
"""Years of VOC whose trainval is trained on; 2007's test is tested on."""


def files_of(name: BoxName, root: AnyRoot) -> tuple[list[list[Path]], int]:
    """The files to train on and those to test on, and the number of images among them; none of
    drawn scenes.

    Raises:
        DataError: a folder or a list is missing, or cannot be read.
    """
    if name == "scenes":
        return [[], []], 0
    if name == "coco2017":
        parts = [_coco(root, split) for split in ("train2017", "val2017")]
        return parts, sum(map(len, parts)) - len(parts)
    train = [pair for year in YEARS[name] for pair in voc_box_pairs(root, year, "trainval")]
    test = voc_box_pairs(root, 2007, "test")
    return [list(chain.from_iterable(pairs)) for pairs in (train, test)], len(train) + len(test)


def voc_box_list(root: AnyRoot, year: int, split: str) -> Path:
    """VOC's list of the images of a split: train, val, trainval, or test (of 2007).

    Raises:
        DataError: the layout is another.
    """
    folder = voc_folder(root, year, "JPEGImages", "Annotations", "ImageSets/Main")
    return folder / "ImageSets" / "Main" / f"{split}.txt"


def voc_box_pairs(root: AnyRoot, year: int, split: str) -> list[Pair]:
    """Each image of a split with its annotation. The files may be missing.

    Raises:
        DataError: as `voc_box_list`; or the list is missing, cannot be read, or names an image
            twice.
    """
    listed = voc_box_list(root, year, split)
    folder = listed.parents[2]
    return [
        Pair(folder / "JPEGImages" / f"{name}.jpg", folder / "Annotations" / f"{name}.xml")
        for name in names_in(listed)
    ]


def coco_paths(root: AnyRoot, split: str) -> tuple[Path, Path]:
    """The annotation file of a split of COCO, train2017 or val2017, and the folder of its images.

    Raises:
        DataError: one of them is not there.
    """
    folder = root / COCO
    path, pictures = folder / "annotations" / f"instances_{split}.json", folder / split
    if not path.is_file() or not pictures.is_dir():
        lacks = path if not path.is_file() else pictures
        raise DataError(
            f"{shown(lacks)}: not there; unpack COCO's {split}.zip and annotations into "
            f"{shown(folder)}, or name another data root with --data"
        )
    return path, pictures


def _coco(root: AnyRoot, split: str) -> list[Path]:
    """Every image of the folder counts: to know those that are used, the annotations, half a
    gigabyte, would have to be read."""
    path, pictures = coco_paths(root, split)
    with os.scandir(pictures) as entries:
        names = sorted(each.name for each in entries if each.name.lower().endswith(IMAGES))
    return [path, *(pictures / name for name in names)]
