"""Small data sets with boxes, in the layouts that are published: scenes under their class names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.data.embedded import CLASSES as FIGURES
from harness.data.scene_files import write_coco, write_voc
from harness.data.voc_boxes import CLASSES

SIZE = 32
NAMES = CLASSES[: len(FIGURES)]
"""VOC's names for the figures."""


def voc(root: Path, year: int = 2007, train: int = 4, test: int = 3) -> Path:
    """VOC's folder of a year; 2012 has no test split."""
    place = root / "VOCdevkit"
    if year != 2007:
        place = root / "other"
    write_voc(place, "train", train, SIZE, NAMES)
    if year == 2007:
        write_voc(place, "test", test, SIZE, NAMES)
        return place / "VOC2007"
    (root / "VOCdevkit").mkdir(exist_ok=True)
    return (place / "VOC2007").rename(root / "VOCdevkit" / f"VOC{year}")


def coco(root: Path, train: int = 5, val: int = 4) -> Path:
    """COCO's folder."""
    write_coco(root / "coco", "train", train, SIZE)
    write_coco(root / "coco", "test", val, SIZE)
    return root / "coco"


def edited(folder: Path, change: Callable[[dict[str, Any]], object], split: str = "train") -> Path:
    """COCO's annotations of a split after a change."""
    path = folder / "annotations" / f"instances_{split}2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def replaced(path: Path, old: str, new: str) -> None:
    """The first match of the expression in a file is replaced."""
    text = path.read_text()
    changed = re.sub(old, new, text, count=1, flags=re.DOTALL)
    assert changed != text
    path.write_text(changed)
