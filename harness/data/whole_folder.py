"""Folders of images without train and val: pictures without labels, and classes that are split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness.data.images import Files
from harness.imagefolder import Found, ImageFolder, listed_to_leave_out, walk
from harness.keyed_split import class_folders, held_out

UNLABELLED = -1


class Pictures(Files):
    """Image files without labels, known by their whole names in the folder."""

    @property
    def names(self) -> list[str]:
        """See Files."""
        assert self.folder is not None
        return [str(path.relative_to(self.folder)) for path in self.paths]


def pictures(folder: Path) -> tuple[dict[str, Any], ImageFolder]:
    """(the DataSet's train, and empty bank and test; what was found) of images at any depth.

    Raises:
        DataError: see walk.
    """
    found = walk(folder, {*listed_to_leave_out(folder)}, kind="pictures")
    train = all_pictures(found)
    none = train.subset(torch.zeros(0, dtype=torch.int64))
    return {"train": train, "bank": none, "test": none}, found


def all_pictures(found: ImageFolder) -> Pictures:
    """Every image of a folder of pictures."""
    every = [image for images in found.classes.values() for image in images]
    paths = [found.path / image.name for image in every]
    labels = torch.full((len(every),), UNLABELLED)
    return Pictures(paths, labels, [image.size for image in every], found.path)


def split_classes(folder: Path, share: float) -> tuple[dict[str, Any], ImageFolder]:
    """(the DataSet's train and test, what was found) of <folder>/<class>/<image>.

    Args:
        share: of each class's images that are test images.

    Raises:
        DataError: see class_folders.
    """
    found = class_folders(folder)
    test = {name: held_out(images, share) for name, images in found.classes.items()}

    def files(*, tested: bool) -> Files:
        kept: list[tuple[int, Found]] = [
            (label, image)
            for label, (name, images) in enumerate(found.classes.items())
            for image in images
            if (image.name in test[name]) == tested
        ]
        paths = [folder / image.name for _, image in kept]
        labels = torch.tensor([label for label, _ in kept])
        return Files(paths, labels, [image.size for _, image in kept], folder)

    return {"train": files(tested=False), "test": files(tested=True), "split": share}, found
