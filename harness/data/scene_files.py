"""Embedded scenes written in COCO's and in VOC's layout, for readers of those data sets."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from PIL import Image
from torch import Tensor

from harness.data.embedded import CLASSES, Split
from harness.data.scenes import Scene, scene
from harness.store import atomic

COCO_SPLITS: dict[Split, str] = {"train": "train2017", "test": "val2017"}
VOC_SPLITS: dict[Split, str] = {"train": "trainval", "test": "test"}


def write_coco(folder: Path, split: Split, n: int, size: int = 48) -> Path:
    """Write the first n scenes of a split as `folder`/{annotations/instances_X.json, X/*.png}, X =
    train2017 or val2017, and return the annotations' path.

    Category c + 1 is class c. A mask is an uncompressed run-length encoding, so it is exact.

    Raises:
        StoreError: the folder cannot be written.
    """
    name = COCO_SPLITS[split]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(n):
        drawn = scene(split, index, size)
        file = f"{index + 1:012d}.png"
        _write(folder / name / file, _encoded(drawn.image, "PNG"))
        images.append({"id": index + 1, "file_name": file, "width": size, "height": size})
        for label, mask, box in zip(drawn.labels, drawn.masks, drawn.boxes, strict=True):
            x0, y0, x1, y1 = box.tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": int(label) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": int(mask.sum()),
                    "segmentation": {"size": [size, size], "counts": run_lengths(mask)},
                    "iscrowd": 0,
                }
            )
    categories = [
        {"id": n, "name": each, "supercategory": "figure"} for n, each in enumerate(CLASSES, 1)
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path = folder / "annotations" / f"instances_{name}.json"
    _write(path, json.dumps(content).encode())
    return path


def write_voc(
    folder: Path, split: Split, n: int, size: int = 48, names: Sequence[str] = CLASSES
) -> Path:
    """Write the first n scenes of a split into `folder`/VOC2007, with the folders JPEGImages,
    Annotations, ImageSets and SegmentationClass, and return the list of their ids.

    Corners are counted from 1 and inclusive, as VOC's. Photos are JPEG files, so their pixels are
    those of the scene up to its compression (quality 95).

    Args:
        names: what the annotations call the classes.

    Raises:
        StoreError: the folder cannot be written.
    """
    root, name = folder / "VOC2007", VOC_SPLITS[split]
    first = 1 if split == "train" else 500_001
    ids = [f"{first + index:06d}" for index in range(n)]
    for index, each in enumerate(ids):
        drawn = scene(split, index, size)
        _write(root / "JPEGImages" / f"{each}.jpg", _encoded(drawn.image, "JPEG"))
        _write(root / "Annotations" / f"{each}.xml", _annotation(each, drawn, names))
        segments = _encoded(drawn.semantic[None], "PNG")
        _write(root / "SegmentationClass" / f"{each}.png", segments)
    listed = "".join(f"{each}\n" for each in ids).encode()
    for task in ("Main", "Segmentation"):
        _write(root / "ImageSets" / task / f"{name}.txt", listed)
    return root / "ImageSets" / "Main" / f"{name}.txt"


def run_lengths(mask: Tensor) -> list[int]:
    """COCO's uncompressed run-length encoding of a mask, bool (H, W): the lengths of runs of equal
    pixels, column by column, beginning with the number of pixels outside the mask."""
    flat = mask.T.reshape(-1)
    changes = (flat[1:] != flat[:-1]).nonzero()[:, 0] + 1
    ends = torch.cat([torch.tensor([0]), changes, torch.tensor([len(flat)])])
    lengths: list[int] = ends.diff().tolist()
    return [0, *lengths] if bool(flat[0]) else lengths


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise atomic.write_error(error, path) from error


def _encoded(pixels: Tensor, form: str) -> bytes:
    """uint8 (3, H, W) or (1, H, W) as an image file."""
    array = pixels.permute(1, 2, 0).squeeze(2).numpy()
    file = io.BytesIO()
    Image.fromarray(array).save(file, form, **({"quality": 95} if form == "JPEG" else {}))
    return file.getvalue()


def _annotation(name: str, drawn: Scene, names: Sequence[str]) -> bytes:
    size = drawn.image.shape[1]
    top = ElementTree.Element("annotation")
    _add(top, "filename", f"{name}.jpg")
    sides = ElementTree.SubElement(top, "size")
    for part, value in (("width", size), ("height", size), ("depth", 3)):
        _add(sides, part, value)
    _add(top, "segmented", 1)
    for label, box in zip(drawn.labels.tolist(), drawn.boxes.tolist(), strict=True):
        figure = ElementTree.SubElement(top, "object")
        for part, value in (("name", names[label]), ("truncated", 0), ("difficult", 0)):
            _add(figure, part, value)
        corners = ElementTree.SubElement(figure, "bndbox")
        x0, y0, x1, y1 = (int(at) for at in box)
        for part, value in (("xmin", x0 + 1), ("ymin", y0 + 1), ("xmax", x1), ("ymax", y1)):
            _add(corners, part, value)
    written: bytes = ElementTree.tostring(top)
    return written


def _add(parent: ElementTree.Element, name: str, value: object) -> None:
    ElementTree.SubElement(parent, name).text = str(value)
