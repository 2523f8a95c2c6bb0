"""VOC's masks in its own layout, and the larger training set with the masks of SBD.

SBD (Hariharan et al., ICCV 2011) annotates 11,355 images of VOC 2012. "train_aug", on which MoCo v1
trains, is VOC 2012's train split and SBD's images without VOC 2012's val split: 10,582 images.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.data.masks import MaskFile, MaskFiles, existing, labels_table, read_indexed
from harness.data.pictures import content_of
from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.imagefolder import shown, unread

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
"""In the order of their labels."""

TRAIN_AUG = 10_582
"""Images of train_aug."""

NEEDED = ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
"""Folders of VOC with images and masks."""

SBD = "sbd"
"""SBD's folder in the data root."""


def voc(root: AnyRoot, year: int, split: str, classes: int = len(CLASSES)) -> MaskFiles:
    """A split of VOC as published: VOCdevkit/VOC<year> in the data root.

    Args:
        split: a list of ImageSets/Segmentation: train, val, trainval, or test (of 2007).
        classes: labels of the masks, background included; VOC has 21.

    Raises:
        DataError: the layout is another, or images or masks are missing.
    """
    folder = voc_folder(root, year, *NEEDED)
    listed = folder / "ImageSets" / "Segmentation" / f"{split}.txt"
    files = [_of_voc(folder, name) for name in names_in(listed)]
    mend = f"ImageSets/Segmentation lists the images with masks: use VOC's own {split}.txt"
    known = f"VOC has the labels 0 to {classes - 1} and 255"
    return MaskFiles(existing(files, listed, mend), labels_table(classes), known)


def train_aug(root: AnyRoot) -> tuple[MaskFiles, tuple[str, ...]]:
    """VOC 2012's train split and SBD's images, without VOC 2012's val split.

    An image of VOC's train split keeps the mask of VOC, which is finer; SBD's have no border of
    pixels to ignore. SBD lies in `sbd/` of the data root, as published (`dataset/` below it) or as
    torchvision unpacks it.

    Returns:
        the images in the order of their names, and remarks: a sentence if they are not 10,582.

    Raises:
        DataError: as in `voc`; or SBD is missing, or the package that reads its masks.
    """
    folder = voc_folder(root, 2012, *NEEDED)
    lists = folder / "ImageSets" / "Segmentation"
    own, val = names_in(lists / "train.txt"), set(names_in(lists / "val.txt"))
    sbd = next((p for p in (root / SBD / "dataset", root / SBD) if (p / "cls").is_dir()), None)
    if sbd is None:
        raise DataError(
            f"{shown(root / SBD)}: no SBD there; unpack benchmark.tgz of the Semantic Boundaries "
            "Dataset so that the folder has dataset/cls, or train on voc2012 alone"
        )
    _mat_reader(sbd)
    more = {name for part in ("train", "val") for name in names_in(sbd / f"{part}.txt")}
    files = {
        name: MaskFile(folder / "JPEGImages" / f"{name}.jpg", sbd / "cls" / f"{name}.mat", read_mat)
        for name in more - val
    } | {name: _of_voc(folder, name) for name in own}
    chosen = existing([files[name] for name in sorted(files)], sbd / "train.txt", "restore SBD")
    known = "VOC and SBD have the labels 0 to 20, VOC also 255"
    remarks: tuple[str, ...] = ()
    if len(files) != TRAIN_AUG:
        remarks = (
            f"train_aug has {len(files):,} images, the published one {TRAIN_AUG:,}: the lists in "
            f"{shown(lists)} or {shown(sbd)} are not the published ones",
        )
    return MaskFiles(chosen, labels_table(len(CLASSES)), known), remarks


def read_mat(path: Path) -> Tensor:
    """The labels of SBD's .mat file, int64 (H, W).

    Raises:
        DataError: it cannot be read.
    """
    loadmat = _mat_reader(path)
    content_of(path)  # says why a file cannot be opened
    try:
        labels = loadmat(str(path))["GTcls"][0]["Segmentation"][0]
    except Exception as error:  # scipy raises errors of any type on damaged files
        raise DataError(
            f"{shown(path)}: no mask of SBD ({type(error).__name__}: {error}); restore it from the "
            "data set's source"
        ) from error
    return torch.from_numpy(labels.astype("int64"))


def _mat_reader(path: Path) -> Callable[[str], Any]:
    """scipy's reader; DataError if scipy is not installed."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise DataError(
            f"{shown(path)}: SBD's masks are .mat files, which the package scipy reads; install it "
            "with: pip install 'moco-harness[sbd]'"
        ) from None
    return loadmat  # type: ignore[no-any-return]


def _of_voc(folder: Path, name: str) -> MaskFile:
    mask = folder / "SegmentationClass" / f"{name}.png"
    return MaskFile(folder / "JPEGImages" / f"{name}.jpg", mask, read_indexed)


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
