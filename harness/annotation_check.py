"""Whether boxes can be trained on: annotations are readable, are their data set's, and name images
that are there. Training reads them hours after pre-training began."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from harness.box_files import YEARS, coco_paths, voc_box_pairs
from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.imagefolder import shown, some
from harness.input_notes import Note, damaged
from harness.mask_files import absent, sizes
from harness.recipe.detection import BOX_FOLDERS, BoxName, DetectionTask
from harness.recipe.task import TaskSection
from harness.store import atomic

WHOLE = 50 * 2**20
"""Bytes of a COCO annotation file that is read whole, which takes a few seconds and some hundred
MB. The published train2017 has nine times as many, and would take minutes on a login node."""
HEAD = 2**20
"""Bytes at each end of a larger one that are read."""
NEEDED = ("file_name", "bbox", "category_id")
"""Fields of COCO's images and annotations. Both lists are long, so that a large file begins with
one of them and ends with the other."""


def damaged_annotations(
    tasks: Iterable[TaskSection], root: AnyRoot, runs: Path, within_s: float = float("inf")
) -> list[str]:
    """What is wrong with the annotations that the tasks train and test on, in sentences with what
    to do. No image is opened.

    VOC's are all read, and so are COCO's two files up to WHOLE bytes. Of a larger one only the
    beginning and the end are looked at, and the images that they name. Annotations that were found
    whole are noted under the run root, and are not read again until they change.

    Args:
        within_s: seconds after which the rest is left to the next call.
    """
    until = time.monotonic() + within_s
    outlines: dict[BoxName, bool] = {}  # whether they are read too
    for task in tasks:
        if isinstance(task, DetectionTask):
            name = task.boxes.name
            outlines[name] = task.outlines or outlines.get(name, False)
    found = [_of_set(name, both, root, runs, until) for name, both in outlines.items()]
    return list(chain.from_iterable(found))


def _of_set(name: BoxName, outlines: bool, root: AnyRoot, runs: Path, until: float) -> list[str]:
    if name == "scenes":
        return []
    what = f"{'outlines' if outlines else 'annotations'} of {name}"
    note = Note(runs, root / BOX_FOLDERS[name][0] / what)
    try:
        if name == "coco2017":
            group = (*coco_paths(root, "train2017"), *coco_paths(root, "val2017"))
            return damaged(note, what, [group], lambda _: _why_not_coco(root, outlines), until)
        splits = [(year, "trainval") for year in YEARS[name]] + [(2007, "test")]
        pairs = [pair for year, split in splits for pair in voc_box_pairs(root, year, split)]
        return damaged(note, what, [(pair.mask,) for pair in pairs], _why_not_voc, until)
    except (DataError, FileNotFoundError, NotADirectoryError):
        return []  # what is missing is told where the names are checked
    except OSError as error:
        return [str(atomic.unread(error, Path(error.filename or root / BOX_FOLDERS[name][0])))]


def _why_not_voc(files: tuple[Path]) -> str:
    from harness.data.voc_boxes import read_annotation

    try:
        read_annotation(files[0])
    except DataError as error:
        return str(error)
    return ""


def _why_not_coco(root: AnyRoot, outlines: bool) -> str:
    from harness.data.coco_instances import coco_instances, coco_splits

    paths = {split: coco_paths(root, split) for split in ("train2017", "val2017")}
    large = [split for split, (path, _) in paths.items() if path.stat().st_size > WHOLE]
    try:
        if not large:
            images = [one for split in coco_splits(root, outlines=outlines) for one in split.images]
            list(sizes(one.source for one in images if isinstance(one.source, Path)))
        for split in paths if large else ():
            if split not in large:
                coco_instances(root, split, outlines=outlines)
            elif why := why_not_begun(*paths[split]):
                return why
    except DataError as error:
        return str(error)
    return ""


def why_not_begun(path: Path, pictures: Path) -> str:
    """Why an annotation file cannot be used, as far as its beginning and its end say; "" if they
    do not.

    Args:
        pictures: the folder of its images.
    """
    mend = "restore it from the data set's source"
    with atomic.opened(path) as file:
        head = file.read(HEAD)
        file.seek(max(0, path.stat().st_size - HEAD))
        tail = file.read()
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") or not tail.rstrip().endswith(b"}"):
        return f"{shown(path)}: not a whole JSON file, as {{ and }} are not its ends; {mend}"
    ends = head + b"\n" + tail
    if lacks := [field for field in NEEDED if f'"{field}"'.encode() not in ends]:
        return (
            f"{shown(path)}: neither its beginning nor its end has a {' or a '.join(lacks)}: it is "
            f"no file of COCO's instances; {mend}"
        )
    found = re.findall(rb'"file_name"\s*:\s*"([^"\\\n]+)"', ends)
    names = [os.fsdecode(name) for name in dict.fromkeys(found)]
    gone = [name for name in names if "/" in name]
    if gone := gone or [each.name for each in absent([pictures / name for name in names])]:
        return (
            f"{shown(path)}: names {len(gone):,} images or more that are not in {shown(pictures)}: "
            f"{some(gone)}; {mend}, or restore the images"
        )
    return ""
