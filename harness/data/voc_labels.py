"""VOC's image-level labels, from the annotations of its objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import torch
from torch import Tensor

from harness.data.masks import names_of_folder
from harness.data.pictures import content_of
from harness.data.voc_masks import CLASSES as WITH_BACKGROUND
from harness.data.voc_masks import names_in, voc_folder
from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.imagefolder import shown, some
from harness.runtime.cores import helpers

CLASSES = WITH_BACKGROUND[1:]
"""VOC's 20 classes, in the order of their names."""

PRESENT, ABSENT, DIFFICULT = 1, 0, -1
"""Labels of an image for a class. DIFFICULT: all its objects of the class are marked as difficult
(0 in VOC's own lists, where -1 means absent)."""

_NEEDS = ("JPEGImages", "Annotations", "ImageSets/Main")


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
    folder = voc_folder(root, year, _NEEDS)
    listed = folder / "ImageSets" / "Main" / f"{split}.txt"
    names = names_in(listed)
    if not names:
        raise DataError(f"{shown(listed)}: names no image; restore it from the data set's source")
    images = [folder / "JPEGImages" / f"{name}.jpg" for name in names]
    annotations = [folder / "Annotations" / f"{name}.xml" for name in names]
    for what, paths in (("image", images), ("annotation", annotations)):
        there = names_of_folder(paths[0].parent)
        if gone := [path for path in paths if path.name not in there]:
            raise DataError(
                f"{shown(listed)}: {len(gone):,} of its {len(names):,} images have no {what} file: "
                f"{some([str(path) for path in gone])}; restore them from the data set's source"
            )
    with helpers(8, "labels") as pool:
        rows = list(pool.map(lambda path: _labels(path, classes), annotations))
    return images, torch.tensor(rows, dtype=torch.int8)


def _labels(path: Path, classes: Sequence[str]) -> list[int]:
    """The labels of an image from its annotation.

    Raises:
        DataError: it cannot be read, or an object has no name of `classes`.
    """
    mend = "restore it from the data set's source"
    try:
        objects = ElementTree.fromstring(content_of(path)).findall("object")
    except ElementTree.ParseError as error:
        line = error.position[0]
        raise DataError(f"{shown(path)}:{line}: not an annotation ({error}); {mend}") from None
    found = [ABSENT] * len(classes)
    for each in objects:
        name = (each.findtext("name") or "").strip()
        if name not in classes:
            raise DataError(
                f"{shown(path)}: an object of the class '{name}', but VOC has "
                f"{', '.join(classes)}; {mend}"
            )
        at = classes.index(name)
        difficult = (each.findtext("difficult") or "0").strip()
        if difficult not in ("0", "1"):
            raise DataError(f"{shown(path)}: difficult is '{difficult}', not 0 or 1; {mend}")
        if difficult == "0":
            found[at] = PRESENT
        elif found[at] == ABSENT:
            found[at] = DIFFICULT
    return found
