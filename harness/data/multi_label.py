"""Data sets whose images show several classes each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision.transforms.functional as vision
from torch import Tensor
from torchvision.transforms import InterpolationMode

from harness.data.datasets import DataSet, normalisation
from harness.data.embedded import CLASSES as FIGURES
from harness.data.embedded import Split
from harness.data.images import CENTER, Files, Images, LoadedFiles, Stack
from harness.data.scenes import SIDES, scene
from harness.data.voc_boxes import CLASSES
from harness.data.voc_labels import ABSENT, PRESENT, voc_labels
from harness.data_roots import AnyRoot
from harness.errors import DataError, NoData
from harness.imagefolder import some
from harness.mask_files import sizes
from harness.recipe.svm import SCENES_TRAIN, LabelledImages
from harness.recipe.task import Data

SCENES_TEST = 400
"""Test scenes unless the recipe says otherwise."""


class LoadedStretched(LoadedFiles):
    """Decoded images that are seen whole, as squares."""

    def center(self, size: int) -> Tensor:
        """The short side resized to `size` / CENTER, then both sides to `size`."""

        def one(image: Any) -> Tensor:
            image = vision.resize(image, round(size / CENTER), InterpolationMode.BILINEAR)
            return vision.pil_to_tensor(vision.resize(image, [size, size]))  # type: ignore[no-any-return]

        return torch.stack(list(self._pool.map(one, self._images))).float() / 255


class StretchedFiles(Files):
    """Image files whose evaluation view is the whole image, stretched to a square."""

    view = "stretch"

    def load(self, index: Tensor) -> LoadedStretched:
        loaded = super().load(index)
        return LoadedStretched(loaded._images, loaded._pool)


@dataclass(frozen=True)
class MultiLabel:
    """An open data set; `images` has the training and the test images, without labels."""

    images: DataSet
    train: Tensor
    """int8 (n, classes): PRESENT, ABSENT or DIFFICULT of the training images."""
    test: Tensor
    """The same of the test images."""
    classes: tuple[str, ...]

    @property
    def described(self) -> dict[str, Any]:
        """For results."""
        return self.images.described


def open_multi_label(asked: LabelledImages, root: AnyRoot, size: int) -> MultiLabel:
    """The data set that a task asks for, all of whose classes can be learned and tested.

    Args:
        size: side of the square that the encoder sees, in pixels; scenes are drawn at it.

    Raises:
        NoData: it is missing, incomplete or of another layout; `size` is impossible; or no training
            or test image shows a class, or all do.
    """
    try:
        made = _scenes(asked, size) if asked.name == "scenes" else _voc(asked, root, size)
        for split, labels in (("training", made.train), ("test", made.test)):
            _all_classes(labels, made.classes, f"{split} images of {asked.name}")
    except DataError as error:
        raise NoData(str(error)) from error
    return made


def _scenes(asked: LabelledImages, size: int) -> MultiLabel:
    least, most = SIDES
    if not least <= size <= most:
        raise DataError(f"size: scenes are {least} to {most} pixels wide, not {size}; set it")
    parts = [
        _drawn("train", asked.images or SCENES_TRAIN, size),
        _drawn("test", asked.tested or SCENES_TEST, size),
    ]
    prints = [labels.numpy().tobytes() + images.stack.numpy().tobytes() for images, labels in parts]
    return _made("scenes", parts, FIGURES, Data(name="embedded", size=size), prints)


def _drawn(split: Split, n: int, size: int) -> tuple[Stack, Tensor]:
    scenes = [scene(split, index, size) for index in range(n)]
    labels = torch.full((n, len(FIGURES)), ABSENT, dtype=torch.int8)
    for row, each in zip(labels, scenes, strict=True):
        row[each.labels] = PRESENT
    return Stack(torch.stack([each.image for each in scenes]), _none(n)), labels


def _voc(asked: LabelledImages, root: AnyRoot, size: int) -> MultiLabel:
    files = StretchedFiles if asked.view == "stretch" else Files
    parts: list[tuple[Images, Tensor]] = []
    prints: list[bytes] = []
    for split in ("trainval", "test"):
        paths, labels = voc_labels(root, 2007, split)
        images = files(paths, _none(len(paths)), [size for _, size in sizes(paths)])
        parts.append((images, labels))
        prints.append(labels.numpy().tobytes() + _names(paths, images.bytes))
    known = Data(name="imagefolder", folder="VOCdevkit", size=size)
    return _made("voc2007", parts, CLASSES, known, prints)


def _names(paths: Sequence[Path], lengths: Sequence[int]) -> bytes:
    pairs = zip(paths, lengths, strict=True)
    return "".join(f"{path.name}:{size}\0" for path, size in pairs).encode()


def _none(n: int) -> Tensor:
    """The labels of images that have no single one."""
    return torch.full((n,), -1)


def _made(
    name: str,
    parts: Sequence[tuple[Images, Tensor]],
    classes: tuple[str, ...],
    like: Data,
    prints: Sequence[bytes],
) -> MultiLabel:
    (train, train_labels), (test, test_labels) = parts
    fingerprint = hashlib.sha256(b"\0".join(prints)).hexdigest()[:12]
    mean, std = normalisation(like)
    images = DataSet(name, train, train, test, len(classes), mean, std, fingerprint)
    return MultiLabel(images, train_labels, test_labels, classes)


def _all_classes(labels: Tensor, classes: Sequence[str], what: str) -> None:
    """Raise a DataError unless each class is shown by some images, and not by some."""
    for label, words in ((PRESENT, "no image shows"), (ABSENT, "every image shows")):
        lost = [
            name for name, there in zip(classes, (labels == label).any(0), strict=True) if not there
        ]
        if lost:
            raise DataError(
                f"of the {len(labels):,} {what} {words} {some(lost)}, so there is no average "
                "precision; use the whole data set, or more scenes"
            )
