"""The data sets with semantic masks, by name."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from harness.data import cityscapes, voc_masks
from harness.data.annotated_set import AnnotatedSet
from harness.data.datasets import Channels
from harness.data.embedded import CLASSES as FIGURES
from harness.data.embedded import Split
from harness.data.masks import MaskedImages, MaskStack
from harness.data.scenes import scene
from harness.data_roots import AnyRoot
from harness.errors import DataError, NoData
from harness.mask_files import SPLITS, fingerprint
from harness.recipe.segmentation import SCENES_TRAIN, MaskName
from harness.recipe.training import SCENE_SIDE
from harness.runtime import keyed

SCENES_TEST = 200
"""Test scenes unless the recipe says otherwise."""

_GREY: tuple[Channels, Channels] = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
_IMAGENET: tuple[Channels, Channels] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Segmentation(AnnotatedSet[MaskedImages]):
    """An open data set with masks, whose labels are positions in `classes`, or 255 for pixels that
    are not counted."""


def open_segmentation(
    name: MaskName,
    root: AnyRoot,
    *,
    images: int | None = None,
    tested: int | None = None,
    size: int = SCENE_SIDE,
) -> Segmentation:
    """The data set of that name under the data root.

    `voc2012_aug` trains on VOC 2012 with SBD's masks and tests on VOC 2012's val, as MoCo v1 does;
    `voc2012` trains on its train split; `voc2007` trains on trainval and tests on test;
    `cityscapes` is train_fine and val; `scenes` are the embedded scenes.

    Args:
        images: training images: the first n scenes, or n of a fixed order, the same for every seed.
        tested: the number of test scenes.
        size: the scenes' side in pixels.

    Raises:
        NoData: it is missing, incomplete, of another layout, or has fewer than `images`.
    """
    try:
        if name == "scenes":
            return _scenes(images or SCENES_TRAIN, tested or SCENES_TEST, size)
        return _files(name, root, images)
    except DataError as error:
        raise NoData(str(error)) from error


def _scenes(images: int, tested: int, size: int) -> Segmentation:
    train, test = _drawn("train", images, size), _drawn("test", tested, size)
    return _made("scenes", train, test, ("background", *FIGURES), _GREY)


def _drawn(split: Split, n: int, size: int) -> MaskStack:
    scenes = [scene(split, index, size) for index in range(n)]
    return MaskStack(
        torch.stack([each.image for each in scenes]),
        torch.stack([each.semantic for each in scenes]),
    )


def _files(name: MaskName, root: AnyRoot, images: int | None) -> Segmentation:
    train: MaskedImages
    test: MaskedImages
    remarks: tuple[str, ...] = ()
    names: tuple[str, ...] = voc_masks.CLASSES
    if name == "cityscapes":
        train, test = (cityscapes.cityscapes(root, split) for split in ("train", "val"))
        names = cityscapes.CLASSES
    elif name == "voc2012_aug":
        train, remarks = voc_masks.train_aug(root)
        test = voc_masks.voc(root, 2012, "val")
    else:
        year, trained, tested = SPLITS[name]
        train, test = (voc_masks.voc(root, year, split) for split in (trained, tested))
    if images is not None:
        if images > len(train):
            raise DataError(f"images: {images:,}, but {name} has only {len(train):,}; use fewer")
        order = keyed.permutation(keyed.key("subset", name), len(train))
        train = train.subset(order[:images].sort().values)
    return _made(name, train, test, names, _IMAGENET, remarks)


def _made(
    name: str,
    train: MaskedImages,
    test: MaskedImages,
    classes: tuple[str, ...],
    normal: tuple[Channels, Channels],
    remarks: tuple[str, ...] = (),
) -> Segmentation:
    made_from = fingerprint(train.digest(), test.digest())
    return Segmentation(name, train, test, classes, *normal, made_from, remarks)
