"""The data sets with boxes, by name.

How a stage trains on them and is tested:

    data = open_detection("voc0712", root)
    wide = torch.tensor([image.is_wide for image in data.train.images])
    groups = AspectGroups(wide, pad_group, *stream)                  # aspect_groups.py
    index = world.share(groups.batch(step, batch))
    views = training_views(data.train, index, policy, *stream, "augment", step)
                                                                     # detection_views.py
    found = [Found(view.id, ...) for view in views_to_test(data.test, mine, 800, 1333)]
    every = merged(gathered(found, world), [image.id for image in data.test.images])
                                                                     # evaluate/detections.py
    voc_ap(every, data.test, data.classes)                           # evaluate/voc_ap.py
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from harness.data import voc_boxes
from harness.data.annotated_set import AnnotatedSet
from harness.data.coco_instances import coco_splits
from harness.data.datasets import Channels
from harness.data.embedded import CLASSES as FIGURES
from harness.data.embedded import Split
from harness.data.instances import AnnotatedImage, InstanceImages, RunLengths, instances
from harness.data.scene_files import run_lengths
from harness.data.scenes import scene
from harness.data_roots import AnyRoot
from harness.errors import DataError, NoData
from harness.recipe.detection import SCENES_TRAIN, BoxName
from harness.recipe.training import SCENE_SIDE
from harness.runtime import keyed

SCENES_TEST = 200
"""Test scenes unless the recipe says otherwise."""

GREY: tuple[Channels, Channels] = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
IMAGENET: tuple[Channels, Channels] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

_PUBLISHED: dict[BoxName, tuple[int, int]] = {
    "voc2007": (5_011, 4_952),
    "voc0712": (16_551, 4_952),
    "coco2017": (118_287, 5_000),
}
"""Images for training, with or without annotation, and for testing."""


@dataclass(frozen=True)
class DetectionSet(AnnotatedSet[InstanceImages]):
    """An open data set with boxes. `train` has those that a detector trains on: none without
    annotation, or with crowds only; `test` has all images of the split."""


def open_detection(
    name: BoxName,
    root: AnyRoot,
    *,
    outlines: bool = False,
    images: int | None = None,
    tested: int | None = None,
    size: int = SCENE_SIDE,
) -> DetectionSet:
    """The data set of that name under the data root.

    Args:
        outlines: whether masks are learnt or evaluated; VOC's boxes have none.
        images: training images: the first n scenes, or n of a fixed order, the same for every seed.
        tested: the number of test scenes.
        size: the scenes' side in pixels.

    Raises:
        NoData: it is missing, incomplete, of another layout, or has fewer than `images`; ids are
            doubled or an annotation cannot be used, which are named.
    """
    try:
        if name == "scenes":
            train = _drawn("train", images or SCENES_TRAIN, size)
            test = _drawn("test", tested or SCENES_TEST, size)
            return _made(name, train, test, FIGURES, GREY)
        if name == "coco2017":
            return _coco(root, outlines, images)
        if outlines:
            raise DataError(f"{name} has boxes but no outlines: learn masks on scenes or coco2017")
        years = (2007,) if name == "voc2007" else (2007, 2012)
        every = [one for year in years for one in voc_boxes.voc_boxes(root, year, "trainval")]
        found = voc_boxes.voc_boxes(root, 2007, "test")
        return _made(name, every, found, voc_boxes.CLASSES, IMAGENET, images)
    except DataError as error:
        raise NoData(str(error)) from error


def _coco(root: AnyRoot, outlines: bool, images: int | None) -> DetectionSet:
    train, test = coco_splits(root, outlines=outlines)
    remarks = train.remarks + test.remarks
    if len(train.classes) != 80:
        remarks += (f"coco2017 has {len(train.classes)} categories, the published one 80",)
    every, found = train.images, test.images
    return _made("coco2017", every, found, train.classes, IMAGENET, images, remarks)


def _drawn(split: Split, n: int, size: int) -> list[AnnotatedImage]:
    return [_scene(split, index, size) for index in range(n)]


def _scene(split: Split, index: int, size: int) -> AnnotatedImage:
    drawn = scene(split, index, size)
    boxes = drawn.boxes.tolist()
    found = instances(
        [(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes],
        drawn.labels.tolist(),
        areas=drawn.masks.sum((1, 2)).tolist(),
        outlines=[RunLengths((size, size), np.array(run_lengths(mask))) for mask in drawn.masks],
    )
    pixels = Image.fromarray(drawn.image.permute(1, 2, 0).numpy())
    return AnnotatedImage(index, (size, size), pixels, None, found)


def _made(
    name: BoxName,
    train: list[AnnotatedImage],
    test: list[AnnotatedImage],
    classes: tuple[str, ...],
    normal: tuple[Channels, Channels],
    images: int | None = None,
    remarks: tuple[str, ...] = (),
) -> DetectionSet:
    every, tested = InstanceImages(train), InstanceImages(test)
    learnt = every.learnable()
    if not len(learnt):
        raise DataError(f"{name}: no training image has an annotation; restore the data set")
    remarks += tuple(_remarks(name, every, learnt, tested))
    if images is not None:
        if images > len(learnt):
            raise DataError(f"images: {images:,}, but {name} has only {len(learnt):,}; use fewer")
        order = keyed.permutation(keyed.key("subset", name), len(learnt))
        learnt = learnt.subset(order[:images].sort().values)
    total = hashlib.sha256(learnt.digest() + tested.digest() + "\0".join(classes).encode())
    fingerprint = total.hexdigest()[:12]
    return DetectionSet(name, learnt, tested, classes, *normal, fingerprint, remarks)


def _remarks(
    name: BoxName, every: InstanceImages, learnt: InstanceImages, tested: InstanceImages
) -> Iterator[str]:
    sizes = len(every), len(tested)
    if sizes != (published := _PUBLISHED.get(name, sizes)):
        yield (
            f"{name} has {sizes[0]:,} images for training and {sizes[1]:,} for testing, the "
            f"published one {published[0]:,} and {published[1]:,}"
        )
    if bare := len(every) - len(learnt):
        yield (
            f"{name}: {bare:,} training images without annotation, or with crowds only, are left "
            "out, as the protocol says"
        )
    if empty := sum(int((one.instances.extents[:, 2:] <= 0).any(1).sum()) for one in learnt.images):
        yield f"{name}: {empty:,} boxes are empty or inverted and are not learnt"
