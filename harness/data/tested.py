"""Test images of another folder than the training images: ImageNet-V2, -Sketch, -A, -R, -C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torchvision.transforms.functional as vision
from torch import Tensor

from harness.class_folders import matched
from harness.data.images import Files, LoadedFiles
from harness.data_roots import AnyRoot
from harness.imagefolder import ImageFolder, listed_to_leave_out, walk
from harness.recipe.task import Data


class LoadedWhole(LoadedFiles):
    """Decoded images that were cut already; only their size may be another."""

    def center(self, size: int) -> Tensor:
        def one(image: Any) -> Tensor:
            return vision.pil_to_tensor(vision.resize(image, [size, size]))  # type: ignore[no-any-return]

        return torch.stack(list(self._pool.map(one, self._images))).float() / 255


class WholeFiles(Files):
    """Image files whose evaluation view is the whole image (code of ImageNet-C: no resize)."""

    view = "whole"

    def load(self, index: Tensor) -> LoadedWhole:
        loaded = super().load(index)
        return LoadedWhole(loaded._images, loaded._pool)

    def subset(self, index: Tensor) -> WholeFiles:
        cut = super().subset(index)
        return WholeFiles(cut.paths, cut.labels, cut.bytes, cut.folder, self._workers)


def opened(data: Data, root: AnyRoot, classes: Sequence[str]) -> tuple[dict[str, Any], ImageFolder]:
    """(the DataSet's `test` and `tested`, what was found) of the test images in `data.test`.

    Args:
        classes: the training classes, sorted.

    Raises:
        DataError: see harness.imagefolder.walk and harness.class_folders.matched.
    """
    assert data.test is not None
    place = root / data.test
    found = walk(place, {*listed_to_leave_out(place)}, kind="classes")
    labels = matched(list(found.classes), classes, place)
    every = [
        (label, image)
        for label, images in zip(labels, found.classes.values(), strict=True)
        for image in images
    ]
    files = Files if data.test_view == "crop" else WholeFiles
    test = files(
        [place / image.name for _, image in every],
        torch.tensor([label for label, _ in every]),
        [image.size for _, image in every],
    )
    return {
        "test": test,
        "tested": tuple(sorted(labels)) if len(labels) < len(classes) else (),
    }, found
