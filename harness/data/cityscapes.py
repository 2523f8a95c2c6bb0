"""Cityscapes' fine annotations, with the 19 classes that its benchmark counts."""

from __future__ import annotations

import torch

from harness.data.masks import IGNORED, MaskFile, MaskFiles, existing, read_indexed
from harness.data_roots import AnyRoot
from harness.mask_files import CITY_MASK, city_pairs

CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
    "bicycle",
)  # fmt: skip
"""In the order of their training ids."""

TRAINED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The labelIds of CLASSES (cityscapesScripts, helpers/labels.py)."""

HIGHEST = 33
"""The largest labelId. Others up to it are not counted, nor 255, the licence plate's -1."""


def cityscapes(root: AnyRoot, split: str) -> MaskFiles:
    """The images of cityscapes/{leftImg8bit,gtFine}/<split>/<city> in the data root, by name.

    Args:
        split: train (2,975 images) or val (500).

    Raises:
        DataError: the layout is another, or a mask is missing.
    """
    files = [MaskFile(*pair, read_indexed) for pair in city_pairs(root, split)]
    listed = root / "cityscapes" / "leftImg8bit" / split
    mend = (
        f"the masks are gtFine's files *{CITY_MASK}; those with training ids are another form of "
        "them"
    )
    table = torch.full((256,), -1)
    table[: HIGHEST + 1] = IGNORED
    table[255] = IGNORED
    table[list(TRAINED)] = torch.arange(len(TRAINED))
    known = f"Cityscapes has the labelIds 0 to {HIGHEST}, and 255"
    return MaskFiles(existing(files, listed, mend), table, known)
