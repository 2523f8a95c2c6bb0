"""VOC's image-level labels, from the annotations of its objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from harness.data.voc_boxes import CLASSES, voc_boxes
from harness.data_roots import AnyRoot

PRESENT, ABSENT, DIFFICULT = 1, 0, -1
"""Labels of an image for a class. DIFFICULT: all its objects of the class are marked as difficult
(0 in VOC's own lists, where -1 means absent)."""


def voc_labels(
    root: AnyRoot, year: int, split: str, classes: Sequence[str] = CLASSES
) -> tuple[list[Path], Tensor]:
    """A split of VOC as published: VOCdevkit/VOC<year> in the data root.

    Args:
        split: a list of ImageSets/Main: train, val, trainval, or test (of 2007).
        classes: names of the objects.

    Returns:
        the images' files, and their labels, int8 (n, classes): PRESENT, ABSENT or DIFFICULT.

    Raises:
        DataError: the layout is another; images or annotations are missing; an annotation is
            damaged, or names an object of another class.
    """
    found = voc_boxes(root, year, split, classes)
    labels = torch.full((len(found), len(classes)), ABSENT, dtype=torch.int8)
    for row, image in zip(labels, found, strict=True):
        objects = image.instances
        row[torch.from_numpy(objects.labels[objects.difficult])] = DIFFICULT
        row[torch.from_numpy(objects.labels[~objects.difficult])] = PRESENT
    return [Path(str(image.source)) for image in found], labels
