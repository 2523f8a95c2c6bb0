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
from harness.data.voc_boxes import CLASSES as OBJECTS
from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.imagefolder import shown
from harness.mask_files import aug_pairs, sbd_folder, voc_list, voc_pairs

CLASSES = ("background", *OBJECTS)
"""In the order of their labels."""

TRAIN_AUG = 10_582
"""Images of train_aug."""


def voc(root: AnyRoot, year: int, split: str, classes: int = len(CLASSES)) -> MaskFiles:
    """A split of VOC as published: VOCdevkit/VOC<year> in the data root.

    Args:
        split: a list of ImageSets/Segmentation: train, val, trainval, or test (of 2007).
        classes: labels of the masks, background included; VOC has 21.

    Raises:
        DataError: the layout is another, or images or masks are missing.
    """
    listed = voc_list(root, year, split)
    files = [MaskFile(*pair, read_indexed) for pair in voc_pairs(root, year, split)]
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
    lists, sbd = voc_list(root, 2012, "train").parent, sbd_folder(root)
    _mat_reader(sbd)
    files = [
        MaskFile(*pair, read_mat if pair.mask.suffix == ".mat" else read_indexed)
        for pair in aug_pairs(root)
    ]
    chosen = existing(files, sbd / "train.txt", "restore SBD")
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
