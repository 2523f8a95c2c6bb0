"""COCO's instances in its own layout: coco/{train2017,val2017,annotations/instances_*.json}."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.box_files import coco_paths
from harness.data.instances import AnnotatedImage, Outline, RunLengths, instances
from harness.data.pictures import content_of
from harness.data_roots import AnyRoot
from harness.errors import DataError
from harness.imagefolder import shown, some
from harness.mask_files import absent

_RESTORE = "restore it from the data set's source"
_INTEGER, _TEXT, _LIST = (int,), (str,), (list,)
_POINTS = 3
"""Fewest points of a polygon."""


@dataclass(frozen=True)
class CocoSplit:
    """What an annotation file says."""

    images: list[AnnotatedImage]
    """By id, with and without annotations."""
    classes: tuple[str, ...]
    """Names of the categories by id. A label is a position here: ids may have gaps."""
    remarks: tuple[str, ...]


def coco_instances(root: AnyRoot, split: str, *, outlines: bool) -> CocoSplit:
    """A split of COCO, as published.

    Parts of an outline with fewer than three points are left out beside others (as detectron2
    does), and told in a remark.

    Args:
        split: train2017 or val2017.
        outlines: whether masks are learnt or evaluated. Then each annotation, crowds aside, needs
            one, and an image has either polygons or masks. Outlines are kept only if they are.

    Raises:
        DataError: the layout is another; or ids are doubled, an image is not there, or an
            annotation cannot be used, which are named.
    """
    path, pictures = coco_paths(root, split)
    return _Reader(path, pictures, outlines).read()


def coco_splits(root: AnyRoot, *, outlines: bool) -> tuple[CocoSplit, CocoSplit]:
    """train2017 and val2017, which have the same categories; see `coco_instances`.

    Raises:
        DataError: as there; the categories differ; or no training image has an annotation.
    """
    train, test = (
        coco_instances(root, split, outlines=outlines) for split in ("train2017", "val2017")
    )
    first, second = (shown(str(split.images[0].annotated)) for split in (train, test))
    if train.classes != test.classes:
        differing = sorted(set(train.classes) ^ set(test.classes)) or ["in another order"]
        raise DataError(
            f"{first} and {second}: their categories differ ({some(differing)}), so labels would; "
            "use the two files of one data set"
        )
    if not any(one.is_learnable for one in train.images):
        raise DataError(f"{first}: no training image has an annotation; {_RESTORE}")
    return train, test


class _Reader:
    def __init__(self, path: Path, pictures: Path, outlines: bool) -> None:
        self.path, self.pictures, self.outlines = path, pictures, outlines
        self.names: dict[int, str] = {}
        self.left_out = 0

    def read(self) -> CocoSplit:
        content = self._content()
        categories = dict(self._entries(content, "categories", name=_TEXT))
        for id, said in categories.items():
            if any("\ud800" <= sign <= "\udfff" for sign in said["name"]):
                raise DataError(
                    f"{self._at(id, said, 'category')}: its name is no text; {_RESTORE}"
                )
        self.labels = {id: label for label, id in enumerate(sorted(categories))}
        images = dict(
            self._entries(content, "images", file_name=_TEXT, width=_INTEGER, height=_INTEGER)
        )
        self.names = {id: str(said["file_name"]) for id, said in images.items()}
        self._check_images(images)
        own: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        for id, said in self._entries(
            content, "annotations", image_id=_INTEGER, category_id=_INTEGER, bbox=_LIST
        ):
            if said["image_id"] not in images:
                raise DataError(
                    f"{self._at(id, said)}: no such image in the file: its images and annotations "
                    f"are not of one data set; {_RESTORE}"
                )
            own[said["image_id"]].append(said)
        found = [self._image(id, images[id], own.pop(id, [])) for id in sorted(images)]
        remarks: tuple[str, ...] = ()
        if self.left_out:
            remarks = (
                f"{shown(self.path)}: {self.left_out:,} parts of outlines have fewer than "
                f"{_POINTS} points and are left out, beside others of the same annotation",
            )
        classes = tuple(str(categories[id]["name"]) for id in sorted(categories))
        return CocoSplit(found, classes, remarks)

    def _content(self) -> dict[str, Any]:
        try:
            content = json.loads(content_of(self.path))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{shown(self.path)}: not a JSON file ({error}); {_RESTORE}") from None
        parts = ("images", "annotations", "categories")
        listed = content if isinstance(content, dict) else {}
        if lacks := [part for part in parts if not isinstance(listed.get(part), list)]:
            raise DataError(
                f"{shown(self.path)}: no list of {' and of '.join(lacks)}: it is no file of COCO's "
                f"instances; {_RESTORE}"
            )
        if empty := [part for part in ("images", "categories") if not listed[part]]:
            raise DataError(f"{shown(self.path)}: no {' and no '.join(empty)}; {_RESTORE}")
        return listed

    def _entries(
        self, content: Mapping[str, Any], part: str, **fields: tuple[type, ...]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """The entries of a list with their ids, which are unique, and with the fields."""
        what = {"categories": "category"}.get(part, part[:-1])
        seen: set[int] = set()
        for n, said in enumerate(content[part]):
            id = said.get("id") if isinstance(said, dict) else None
            if type(id) is not int:
                raise DataError(
                    f"{shown(self.path)}: {what} number {n} has no integer as id; {_RESTORE}"
                )
            for field, types in fields.items():
                if type(said.get(field)) not in types:
                    raise DataError(
                        f"{self._at(id, said, what)}: {field} is missing or no "
                        f"{types[0].__name__}: it is no {what} of COCO's instances; {_RESTORE}"
                    )
            if id in seen:
                raise DataError(f"{self._at(id, said, what)}: the id is there twice; {_RESTORE}")
            seen.add(id)
            yield id, said

    def _at(self, id: int, said: Mapping[str, Any], what: str = "annotation") -> str:
        """Where something is wrong: the file, the annotation and the image."""
        of = said.get("image_id", "?") if what == "annotation" else None
        named = self.names.get(of) if isinstance(of, int) else said.get("file_name")
        whose = "" if of is None else f" of image {of}"
        return f"{shown(self.path)}: {what} {id}{whose}{f' ({shown(named)})' if named else ''}"

    def _check_images(self, images: Mapping[int, Mapping[str, Any]]) -> None:
        first: dict[str, int] = {}
        for id, name in self.names.items():
            at = self._at(id, images[id], "image")
            if name in ("", ".", "..") or "/" in name or "\0" in name:
                raise DataError(f"{at}: file_name is no name of a file in {self.pictures.name}/")
            if name in first:
                raise DataError(f"{at}: image {first[name]} has the same file; {_RESTORE}")
            if images[id]["width"] < 1 or images[id]["height"] < 1:
                raise DataError(f"{at}: width and height must be at least 1 pixel; {_RESTORE}")
            first[name] = id
        if gone := absent([self.pictures / name for name in first]):
            ids = [f"{first[path.name]} ({path})" for path in gone]
            raise DataError(
                f"{shown(self.path)}: {len(gone):,} of its {len(first):,} images are not in "
                f"{shown(self.pictures)}: {some(ids)}; restore them from the data set's source, or "
                "use the annotations of these images"
            )

    def _image(
        self, id: int, image: Mapping[str, Any], annotations: list[dict[str, Any]]
    ) -> AnnotatedImage:
        size = image["height"], image["width"]
        extents, labels, crowd, areas, outlines = [], [], [], [], []
        for said in annotations:
            at = self._at(said["id"], said)
            box, label = said["bbox"], self.labels.get(said["category_id"])
            if label is None:
                raise DataError(
                    f"{at}: its category {said['category_id']} is none of the file's; {_RESTORE}"
                )
            if len(box) != 4 or not all(map(_is_finite, box)):
                raise DataError(f"{at}: bbox {box} is not x, y, width, height; {_RESTORE}")
            area = said.get("area", box[2] * box[3])
            if not _is_finite(area) or said.get("iscrowd", 0) not in (0, 1):
                raise DataError(f"{at}: area is no number, or iscrowd not 0 or 1; {_RESTORE}")
            extents.append(box)
            labels.append(label)
            areas.append(area)
            crowd.append(said.get("iscrowd", 0) == 1)
            outline = self._outline(said.get("segmentation"), size, at)
            if self.outlines and outline is None:
                raise DataError(f"{at}: no segmentation, which masks are learnt from; {_RESTORE}")
            outlines.append(outline if self.outlines else None)
        kinds = {type(each) for each, many in zip(outlines, crowd, strict=True) if not many}
        if len(kinds) > 1:
            raise DataError(
                f"{shown(self.path)}: image {id} ({shown(self.names[id])}) has annotations with "
                f"polygons and others with masks; write all of its outlines in one of the two forms"
            )
        found = instances(extents, labels, crowd=crowd, areas=areas, outlines=outlines)
        return AnnotatedImage(id, size, self.pictures / self.names[id], self.path, found)

    def _outline(self, said: Any, size: tuple[int, int], at: str) -> Outline:
        if not said:
            return None
        if isinstance(said, dict):
            return _run_lengths(said, size, at)
        if not isinstance(said, list):
            raise DataError(f"{at}: segmentation is no list of polygons and no mask; {_RESTORE}")
        parts = []
        for part in said:
            try:
                points = np.array(part, dtype=np.float64)
            except (TypeError, ValueError, OverflowError):
                points = np.array([np.nan])
            if points.ndim != 1 or not np.isfinite(points).all():
                raise DataError(f"{at}: a polygon is no list of numbers; {_RESTORE}")
            if len(points) % 2 == 0 and len(points) >= 2 * _POINTS:
                parts.append(points)
        if not parts:
            longest = max(len(part) for part in said)
            raise DataError(
                f"{at}: no polygon has {_POINTS} points (x, y, x, y, ...); the longest has "
                f"{longest} numbers; {_RESTORE}, or remove the annotation"
            )
        self.left_out += len(said) - len(parts)
        return tuple(parts)


def _is_finite(number: object) -> bool:
    try:
        return type(number) in (int, float) and math.isfinite(number)  # type: ignore[arg-type]
    except OverflowError:  # an integer beyond every float
        return False


def _run_lengths(said: Mapping[str, Any], size: tuple[int, int], at: str) -> RunLengths:
    counts = said.get("counts")
    try:
        found = np.array(decompressed(counts) if isinstance(counts, str) else counts, np.int64)
    except (TypeError, ValueError, IndexError, OverflowError):
        found = np.array([-1])
    height, width = size
    if said.get("size") != [height, width] or found.ndim != 1:
        found = np.array([-1])
    if found.min(initial=0) < 0 or int(found.sum()) != height * width:
        raise DataError(
            f"{at}: its mask does not cover {height} x {width} pixels, as the image has; {_RESTORE}"
        )
    return RunLengths(size, found)


def decompressed(text: str) -> list[int]:
    """The lengths in COCO's compressed encoding: groups of five bits, lowest first, whose sixth bit
    says that more follow; from the fourth on, differences to the last but one.

    Raises:
        IndexError: the text ends within a number.
    """
    counts: list[int] = []
    at = 0
    while at < len(text):
        number, shift, more = 0, 0, True
        while more:
            sign = ord(text[at]) - 48
            number |= (sign & 0x1F) << shift
            more = bool(sign & 0x20)
            at, shift = at + 1, shift + 5
            if not more and sign & 0x10:
                number |= -1 << shift
        counts.append(number + counts[-2] if len(counts) > 2 else number)
    return counts
