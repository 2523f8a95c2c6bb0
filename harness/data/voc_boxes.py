"""VOC's boxes in its own layout: VOCdevkit/VOC<year>/{JPEGImages,Annotations,ImageSets/Main}."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from harness.box_files import voc_box_list, voc_box_pairs
from harness.data.instances import AnnotatedImage, Instances, instances
from harness.data.pictures import content_of
from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.imagefolder import shown, some
from harness.mask_files import absent

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
"""The twenty objects, in the order of their labels."""

_RESTORE = "restore it from the data set's source"
_READERS = 8  # many small files, each a round trip on a file server


def voc_boxes(
    root: AnyRoot, year: int, split: str, classes: Sequence[str] = CLASSES
) -> list[AnnotatedImage]:
    """The images of a split in the order of its list, with all objects, difficult ones included.

    VOC's corners are numbers of pixels, counted from 1 and inclusive. Here xmin and ymin are one
    less, so that a box around the whole image is (0, 0, width, height).

    Args:
        split: a list in ImageSets/Main: train, val, trainval, or test (of 2007).
        classes: names of the objects.

    Raises:
        DataError: the layout is another, files are missing, or an annotation cannot be used.
    """
    listed = voc_box_list(root, year, split)
    pairs = voc_box_pairs(root, year, split)
    if not pairs:
        raise DataError(f"{shown(listed)}: names no image; {_RESTORE}")
    pictures, annotations = map(list, zip(*pairs, strict=True))
    ids = [f"VOC{year}/{path.stem}" for path in pictures]
    for what, paths in (("image", pictures), ("annotation", annotations)):
        if gone := absent(paths):
            raise DataError(
                f"{shown(listed)}: {len(gone):,} of its {len(ids):,} images have no {what} file: "
                f"{some([str(path) for path in gone])}; restore them from the data set's source"
            )
    with ThreadPoolExecutor(_READERS, "annotations") as pool:
        found = pool.map(partial(read_annotation, classes=classes), annotations)
        return [
            AnnotatedImage(id, size, picture, annotated, objects)
            for id, picture, annotated, (size, objects) in zip(
                ids, pictures, annotations, found, strict=True
            )
        ]


def read_annotation(
    annotated: Path, classes: Sequence[str] = CLASSES
) -> tuple[tuple[int, int], Instances]:
    """The height and width of an image, and its objects, by its annotation, an XML file.

    Raises:
        DataError: the annotation cannot be used.
    """
    try:
        top = ElementTree.fromstring(content_of(annotated))
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # also: its encoding
        raise DataError(f"{shown(annotated)}: not an XML file ({error}); {_RESTORE}") from None
    width, height = (_number(top, f"size/{side}", annotated, "") for side in ("width", "height"))
    if not (width >= 1 and height >= 1 and width == int(width) and height == int(height)):
        raise DataError(
            f"{shown(annotated)}: an image of {width:g} x {height:g} pixels; {_RESTORE}"
        )
    extents, labels, difficult = [], [], []
    for n, found in enumerate(top.findall("object"), 1):
        what = f"object {n}"
        called = (found.findtext("name") or "").strip()
        if called not in classes:
            raise DataError(
                f"{shown(annotated)}: {what} is a {shown(called) or '(no name)'}, which is none of "
                f"VOC's classes: the annotation is another data set's; {_RESTORE}"
            )
        x1, y1, x2, y2 = (
            _number(found, f"bndbox/{side}", annotated, f" of {what} ({called})")
            for side in ("xmin", "ymin", "xmax", "ymax")
        )
        extents.append((x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1))
        labels.append(classes.index(called))
        marked = (found.findtext("difficult") or "0").strip()
        if marked not in ("0", "1"):
            raise DataError(
                f"{shown(annotated)}: difficult of {what} is {shown(marked)!r}, not 0 or 1; "
                f"{_RESTORE}"
            )
        difficult.append(marked == "1")
    return (int(height), int(width)), instances(extents, labels, difficult=difficult)


def _number(of: ElementTree.Element, tag: str, path: Path, whose: str) -> float:
    text = of.findtext(tag)
    try:
        found = float(text or "")
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        has = "is missing" if text is None else f"is {shown(text.strip())!r}, no number"
        raise DataError(f"{shown(path)}: {tag}{whose} {has}; {_RESTORE}")
    return found
