"""Damaged masks are found before any training, each once."""

from __future__ import annotations

import errno
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data import mask_layouts as layouts
from PIL import Image

from harness import mask_check
from harness.data.cityscapes import CLASSES as CITY_CLASSES
from harness.data.cityscapes import cityscapes
from harness.data.masks import labels_table
from harness.data.voc_masks import CLASSES
from harness.mask_check import LABELS, damaged_masks
from harness.recipe.segmentation import SegmentationTask


def task(name: str) -> SegmentationTask:
    return SegmentationTask.model_validate_json(
        f'{{"kind": "segmentation", "masks": {{"name": "{name}"}}, "epochs": 1, "lr": 0.1, '
        '"crop": 40, "schedule": {"kind": "constant"}}'
    )


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """The masks of a small VOC 2012 that changed long ago; a run root beside it."""
    folder = layouts.voc2012(tmp_path) / "SegmentationClass"
    (tmp_path / "runs").mkdir()
    return folder


def test_a_system_without_affinity(masks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr("sys.platform", "darwin")
    assert wrong(masks) == []


def wrong(masks: Path) -> list[str]:
    root = masks.parents[2]
    return damaged_masks([task("voc2012")], root, root / "runs")


def damage(path: Path, how: str) -> None:
    labels = np.array(Image.open(path))
    match how:
        case "size":
            Image.fromarray(labels[:-1]).save(path)
        case "mode":
            Image.fromarray(np.stack([labels] * 3, 2)).save(path)
        case "label":
            Image.fromarray(np.where(labels == labels.max(), 33, labels).astype("uint8")).save(path)
        case "cut":
            path.write_bytes(path.read_bytes()[:-30])
        case "empty":
            path.write_bytes(b"")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("size", "a mask of 48 x 47 pixels, but .*000002.jpg"),
        ("mode", "mode RGB"),
        ("label", "the label 33, but the set has 0 to 20 and 255"),
        ("cut", "not a readable mask"),
        ("empty", "not a readable mask"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(masks: Path, how: str, says: str) -> None:
    import re

    assert wrong(masks) == []
    damage(masks / "000002.png", how)
    (found,) = wrong(masks)
    assert found.startswith(f"{masks / '000002.png'}: ")
    assert re.search(says, found)
    assert re.search("restore|as they are published", found)


def test_the_programs_warnings_stay_as_they_are(tmp_path: Path) -> None:
    """Files are read by several threads, and filters of warnings are the process's."""
    (tmp_path / "runs").mkdir()
    layouts.voc2012(tmp_path)
    before = [*warnings.filters]
    for n in range(20):
        runs = tmp_path / f"runs{n}"
        runs.mkdir()
        assert damaged_masks([task("voc2012")], tmp_path, runs) == []
    assert warnings.filters == before


def test_an_image_that_cannot_be_read(masks: Path) -> None:
    image = masks.parent / "JPEGImages" / "000002.jpg"
    image.write_bytes(b"x")
    (found,) = wrong(masks)
    assert found.startswith(f"{image}: not a readable image")


@pytest.mark.parametrize("what", ["image", "mask"])
def test_a_pipe_is_not_waited_for(masks: Path, what: str) -> None:
    image = masks.parent / "JPEGImages" / "000002.jpg"
    path = masks / "000002.png" if what == "mask" else image
    path.unlink()
    os.mkfifo(path)
    (found,) = wrong(masks)
    assert found.startswith(f"{path}: not a regular file")


@pytest.mark.parametrize("what", ["image", "mask"])
def test_what_the_user_may_not_read_is_not_called_damaged(
    masks: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    image = masks.parent / "JPEGImages" / "000002.jpg"
    path = masks / "000002.png" if what == "mask" else image
    before = os.open

    def closed(name: Any, *more: Any, **named: Any) -> int:
        if name == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return before(name, *more, **named)

    monkeypatch.setattr("harness.mask_check.os.open", closed)
    (found,) = wrong(masks)
    assert found.startswith(f"{path}: ")
    assert "belongs to" in found
    assert "restore" not in found


def test_what_the_limit_of_pixels_refuses_is_not_called_damaged(
    masks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    found = wrong(masks)
    assert found
    assert all("too many pixels" in one and "restore" not in one for one in found)


def test_only_what_changed_is_read_again(masks: Path, monkeypatch: Any) -> None:
    read: list[str] = []
    whole = mask_check.why_damaged

    def why(pair: Any, labels: Any) -> str:
        read.append(pair.mask.name)
        return whole(pair, labels)

    monkeypatch.setattr(mask_check, "why_damaged", why)
    then = time.time() - 100
    monkeypatch.setattr("harness.input_notes.SETTLED_NS", -(10**12))  # as if all changed long ago
    for path in masks.iterdir():
        os.utime(path, (then, then))
    assert wrong(masks) == []
    assert len(read) == 5
    read.clear()
    assert wrong(masks) == []
    assert read == []
    damage(masks / "000002.png", "label")
    assert len(wrong(masks)) == 1
    assert len(wrong(masks)) == 1, "what is damaged is told each time"
    assert read == ["000002.png"] * 2


def test_what_is_missing_is_told_elsewhere(masks: Path, tmp_path: Path) -> None:
    (masks / "000002.png").unlink()
    assert wrong(masks) == []
    assert damaged_masks([task("cityscapes"), task("scenes")], tmp_path, tmp_path) == []


def test_cityscapes_labels(tmp_path: Path) -> None:
    folder = layouts.cityscapes(tmp_path)
    assert damaged_masks([task("cityscapes")], tmp_path, tmp_path) == []
    (path,) = (folder / "val").glob("*/*")
    Image.fromarray(np.full((4, 34), 34, dtype=np.uint8)).save(path)
    (found,) = damaged_masks([task("cityscapes")], tmp_path, tmp_path)
    assert "label 34" in found


def test_the_labels_are_those_that_training_accepts(tmp_path: Path) -> None:
    layouts.cityscapes(tmp_path)
    for name, table in (
        ("voc2012", labels_table(len(CLASSES))),
        ("cityscapes", cityscapes(tmp_path, "val")._labels),
    ):
        assert {n for n, label in enumerate(table.tolist()) if label >= 0} == LABELS[name]  # type: ignore[index]
    assert len(CITY_CLASSES) == 19
