"""Files of the published data sets with masks, and which of them are trained and tested on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.imagefolder import shown, unread
from harness.recipe.segmentation import MaskName

SPLITS: dict[MaskName, tuple[int, str, str]] = {
    "voc2007": (2007, "trainval", "test"),
    "voc2012": (2012, "train", "val"),
}
"""Of VOC as published: the year, and the lists of images to train and to test on."""

_NEEDED = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
"""Folders of VOC with images and masks."""

SBD = "sbd"
"""SBD's folder in the data root."""

CITY_IMAGE, CITY_MASK = "_leftImg8bit.png", "_gtFine_labelIds.png"
"""How Cityscapes' files end."""


List = Callable[[Any, AnyRoot], tuple[list[list[Path]], int]]
"""The files of a data set of that name under a root: see `files_of`."""


class Pair(NamedTuple):
    """The files of an image and of its mask."""

    image: Path
    mask: Path


def pairs_of(name: MaskName, root: AnyRoot) -> tuple[list[Pair], list[Pair]]:
    """(training files, test files) of a data set under the data root; neither of drawn scenes.

    Raises:
        DataError: a folder or a list is missing, or cannot be read.
    """
    if name == "scenes":
        return [], []
    if name == "cityscapes":
        return city_pairs(root, "train"), city_pairs(root, "val")
    if name == "voc2012_aug":
        return aug_pairs(root), voc_pairs(root, 2012, "val")
    year, trained, tested = SPLITS[name]
    return voc_pairs(root, year, trained), voc_pairs(root, year, tested)


def files_of(name: MaskName, root: AnyRoot) -> tuple[list[list[Path]], int]:
    """The files to train on and those to test on, and the number of images among them.

    Raises:
        DataError: as `pairs_of`.
    """
    parts = pairs_of(name, root)
    return [list(chain.from_iterable(pairs)) for pairs in parts], sum(map(len, parts))


def holder(folders: Sequence[str], roots: Iterable[AnyRoot | None]) -> AnyRoot | None:
    """The first root that has the folders of a data set; None if none has, or if it is not read
    from files."""
    there = (root for root in roots if root and all((root / each).is_dir() for each in folders))
    return next(there, None) if folders else None


def sizes(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """Each file with its size in bytes.

    Raises:
        DataError: it is missing, e.g. a link that leads nowhere, or cannot be read.
    """
    for path in paths:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise unread(error, path) from error
        yield path, size


def digest(sized: Iterable[tuple[Path, int]]) -> bytes:
    """A hash of the files' names, each with its folder's, and sizes, in the order given."""
    total = hashlib.sha256()
    for path, size in sized:
        total.update(os.fsencode(f"{path.parent.name}/{path.name}:{size}\0"))
    return total.digest()


def fingerprint(train: bytes, test: bytes) -> str:
    """Twelve hexadecimal digits of a data set whose parts have these hashes."""
    return hashlib.sha256(train + test).hexdigest()[:12]


def voc_list(root: AnyRoot, year: int, split: str) -> Path:
    """VOC's list of the images of a split: train, val, trainval, or test (of 2007).

    Raises:
        DataError: the layout is another.
    """
    return voc_folder(root, year, *_NEEDED) / "ImageSets" / "Segmentation" / f"{split}.txt"


def voc_pairs(root: AnyRoot, year: int, split: str) -> list[Pair]:
    """The files of a split of VOC: VOCdevkit/VOC<year> in the data root. They may be missing.

    Raises:
        DataError: as `voc_list`; or the list is missing, cannot be read, or names an image twice.
    """
    folder = voc_folder(root, year, *_NEEDED)
    return [_of_voc(folder, name) for name in names_in(voc_list(root, year, split))]


def aug_pairs(root: AnyRoot) -> list[Pair]:
    """The files of VOC 2012's train split and of SBD's images without VOC's val split, by name. An
    image of VOC's train split keeps the mask of VOC.

    Raises:
        DataError: as `voc_pairs`; or SBD is missing.
    """
    folder, sbd = voc_folder(root, 2012, *_NEEDED), sbd_folder(root)
    own, val = (names_in(voc_list(root, 2012, split)) for split in ("train", "val"))
    more = {name for split in ("train", "val") for name in names_in(sbd / f"{split}.txt")}
    found = {
        name: Pair(folder / "JPEGImages" / f"{name}.jpg", sbd / "cls" / f"{name}.mat")
        for name in more - set(val)
    } | {name: _of_voc(folder, name) for name in own}
    return [found[name] for name in sorted(found)]


def sbd_folder(root: AnyRoot) -> Path:
    """SBD's folder with cls/: `sbd/` of the data root as torchvision unpacks it, or `dataset/`
    below it as published.

    Raises:
        DataError: it is missing.
    """
    for folder in (root / SBD / "dataset", root / SBD):
        if (folder / "cls").is_dir():
            return folder
    raise DataError(
        f"{shown(root / SBD)}: no SBD there; unpack benchmark.tgz of the Semantic Boundaries "
        "Dataset so that the folder has dataset/cls, or train on voc2012 alone"
    )


def city_pairs(root: AnyRoot, split: str) -> list[Pair]:
    """The files of cityscapes/{leftImg8bit,gtFine}/<split>/<city> in the data root, by name.

    Args:
        split: train (2,975 images) or val (500).

    Raises:
        DataError: the layout is another.
    """
    top = root / "cityscapes"
    images, masks = top / "leftImg8bit" / split, top / "gtFine" / split
    for folder in (images, masks):
        if not folder.is_dir():
            raise DataError(
                f"{shown(folder)}: no such folder; unpack leftImg8bit_trainvaltest.zip and "
                "gtFine_trainvaltest.zip of Cityscapes there, or name another data root with --data"
            )
    return [
        Pair(path, masks / path.parent.name / path.name.replace(CITY_IMAGE, CITY_MASK))
        for path in sorted(images.glob(f"*/*{CITY_IMAGE}"))
    ]


def names_in(path: Path) -> list[str]:
    """The image names of a list, one a line.

    Raises:
        DataError: it is missing, cannot be read, or names an image twice.
    """
    try:
        names = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise unread(error, path) from error
        missing = isinstance(error, FileNotFoundError)
        raise DataError(
            f"{shown(path)}: {'missing' if missing else 'not a text file'}; restore it from the "
            "data set's source"
        ) from None
    if len(set(names)) < len(names):
        twice = next(name for n, name in enumerate(names) if name in names[:n])
        raise DataError(f"{shown(path)}: names {shown(twice)} twice; remove one of the lines")
    return names


def absent(paths: Sequence[Path]) -> list[Path]:
    """Those of the paths that do not exist.

    Raises:
        DataError: a folder cannot be read.
    """
    there = {folder: _names(folder) for folder in {path.parent for path in paths}}
    return [path for path in paths if path.name not in there[path.parent]]


def _names(folder: Path) -> set[str]:
    """What is in the folder, in one listing: to ask for each file is slow on a file server."""
    try:
        return {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise unread(error, folder) from error


def _of_voc(folder: Path, name: str) -> Pair:
    image = folder / "JPEGImages" / f"{name}.jpg"
    return Pair(image, folder / "SegmentationClass" / f"{name}.png")


def voc_folder(root: AnyRoot, year: int, *needed: str) -> Path:
    """VOC's folder of that year in the data root.

    Raises:
        DataError: it lacks one of the folders that are needed.
    """
    folder = root / f"VOCdevkit/VOC{year}"
    lacking = [name for name in needed if not (folder / name).is_dir()]
    if lacking:
        raise DataError(
            f"{shown(folder)}: lacks {', '.join(lacking)}; unpack VOC {year} as it is published "
            "(VOCtrainval, and VOCtest of 2007) into the data root, or name another root with "
            "--data"
        )
    return folder
