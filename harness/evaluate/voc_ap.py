"""Average precision as VOC 2007 measures it, and detectron2 with it: 11 points of recall.

It is not COCO's: with that one, numbers would be one or two points higher. What matters, besides
the 11 points:

- widths are x2 - x1 + 1, as corners are numbers of pixels, counted from 1;
- detections are compared as the result files have them: scores with three decimals, which makes
  ties, and corners with one;
- a detection belongs to the object of its class that it overlaps most, even if that one is taken
  already: a duplicate is a false positive;
- an object that is difficult counts neither as found nor as missed.

Detections of equal scores keep the order of the images, and of the detections in them. The original
leaves their order to the sorting routine.

Source: detectron2, evaluation/pascal_voc_evaluation.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.data.instances import Floats, InstanceImages, Instances
from harness.evaluate.detections import (
    DRAWN,
    RECALLS,
    AveragePrecision,
    Found,
    check_order,
    drawn_curve,
)

THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""Of intersection over union: a true positive has more."""

_RECALLS = np.arange(0.0, 1.1, 0.1)  # as the original: 0.3 is a little more than 0.3 here


def voc_ap(
    found: Sequence[Found], truth: InstanceImages, classes: Sequence[str]
) -> AveragePrecision:
    """The average precision of detections in all test images.

    A class without objects has a precision of 0, as in the original.

    Args:
        found: for each image of `truth`, in its order: what `merged` returns.
    """
    check_order(found, truth)
    starts = np.cumsum([0, *(len(image.instances) for image in truth.images)])
    best = [
        _best(one, image.instances, int(start))
        for one, image, start in zip(found, truth.images, starts, strict=False)
    ]
    overlaps, objects = (np.concatenate(part) for part in zip(*best, strict=True))
    labels = np.concatenate([one.labels for one in found])
    scores = np.rint(np.concatenate([one.scores for one in found]).astype(np.float64) * 1000)
    of_class = np.concatenate([image.instances.labels for image in truth.images])
    difficult = np.concatenate([image.instances.difficult for image in truth.images])
    table = np.zeros((len(classes), len(THRESHOLDS)))
    curves = {at: np.zeros(RECALLS) for at in DRAWN}
    counted = []
    for label in range(len(classes)):
        own = np.flatnonzero(labels == label)
        own = own[np.argsort(-scores[own], kind="stable")]
        counted.append(int((~difficult[of_class == label]).sum()))
        for n, threshold in enumerate(THRESHOLDS):
            recall, precision = curve(
                overlaps[own] > threshold, objects[own], difficult, counted[-1]
            )
            table[label, n] = 100 * eleven_points_of_detectron2(recall, precision)
            if (drawn := f"{threshold:.2f}") in curves:
                curves[drawn] += _best_from(recall, precision) / len(classes)
    at = table.mean(0)
    per_class = [float(row.mean()) if n else None for row, n in zip(table, counted, strict=True)]
    return AveragePrecision(
        float(at.mean()),
        float(at[0]),
        float(at[5]),
        tuple(per_class),
        {name: drawn_curve(each) for name, each in curves.items()},
    )


def _best(one: Found, said: Instances, start: int) -> tuple[Floats, NDArray[np.int64]]:
    """For each detection in an image the largest overlap with an object of its class, -inf if there
    is none, and the object's number, counted from `start`."""
    if not len(one) or not len(said):
        return np.full(len(one), -np.inf), np.zeros(len(one), dtype=np.int64)
    boxes = one.boxes + np.array([1, 1, 0, 0], dtype=np.float32)
    seen = np.rint(boxes.astype(np.float64) * 10)[:, None] / 10  # as printed with one decimal
    true = (said.boxes + np.array([1, 1, 0, 0]))[None]
    low, high = np.maximum(seen, true)[..., :2], np.minimum(seen, true)[..., 2:]
    common = (high - low + 1).clip(min=0).prod(-1)
    areas = [(corners[..., 2:] - corners[..., :2] + 1).prod(-1) for corners in (seen, true)]
    overlaps = common / (areas[0] + areas[1] - common)
    overlaps[one.labels[:, None] != said.labels] = -np.inf
    return overlaps.max(1), overlaps.argmax(1) + start


def curve(
    overlapping: NDArray[np.bool_],
    objects: NDArray[np.int64],
    difficult: NDArray[np.bool_],
    counted: int,
) -> tuple[Floats, Floats]:
    """Recall and precision after each of a class's detections, (n,), which are in descending order.

    Args:
        overlapping: (n,): whether a detection overlaps an object enough.
        objects: (n,): the object that it overlaps most; any number if it overlaps none.
        difficult: whether an object is not counted, for all objects.
        counted: number of the class's objects that are counted.
    """
    true = np.zeros(len(objects))
    where = np.flatnonzero(overlapping)
    hard = difficult[objects[where]] if len(where) else np.empty(0, dtype=np.bool_)
    easy = where[~hard]
    true[easy[np.unique(objects[easy], return_index=True)[1]]] = 1
    false = 1 - true
    false[where[hard]] = 0
    hits, misses = np.cumsum(true), np.cumsum(false)
    recall = hits / counted if counted else np.zeros(len(objects))
    precision = hits / np.maximum(hits + misses, np.finfo(np.float64).eps)
    return recall, precision


def eleven_points_of_detectron2(recall: Floats, precision: Floats) -> float:
    """Mean over recalls of 0, 0.1, ..., 1 of the best precision at that recall or a higher one.

    The recalls are detectron2's floating-point numbers, so that detection's AP is what it prints:
    0.3, 0.6 and 0.7 are a little more there, and 3 of 10 objects do not reach 0.3. Of the SVMs'
    AP they do: see `harness.evaluate.average_precision.eleven_points`, with exact recalls.
    """
    reached = [precision[recall >= least] for least in _RECALLS]
    return sum(float(each.max()) for each in reached if len(each)) / len(_RECALLS)


def _best_from(recall: Floats, precision: Floats) -> Floats:
    """At each of the curve's recalls the best precision at that recall or a higher one, 0 where
    none is reached. At 0, 0.1, ... 1 it is what `eleven_points_of_detectron2` averages."""
    wanted = np.linspace(0, 1, RECALLS)
    wanted[:: RECALLS // 10] = _RECALLS
    best = np.maximum.accumulate(precision[::-1])[::-1]
    found: Floats = np.append(best, 0.0)[np.searchsorted(recall, wanted)]
    return found
