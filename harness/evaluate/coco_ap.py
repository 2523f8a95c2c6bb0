"""Average precision of boxes and masks as COCO measures it: 101 points of recall.

pycocotools is the reference. faster-coco-eval gives the same numbers ten times as fast and is used
where it is installed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.data.instances import InstanceImages, Outline, RunLengths
from harness.errors import DataError
from harness.evaluate.detections import DRAWN, AveragePrecision, Found, check_order, drawn_curve

Kind = Literal["bbox", "segm"]

FASTER, REFERENCE = "faster_coco_eval", "pycocotools"
"""The packages that evaluate, by the names they are imported by."""

_EVALUATORS = {
    FASTER: (
        (f"{FASTER}.core.coco", "COCO"),
        (f"{FASTER}.core.faster_eval_api", "COCOeval_faster"),
    ),
    REFERENCE: ((f"{REFERENCE}.coco", "COCO"), (f"{REFERENCE}.cocoeval", "COCOeval")),
}
_MASKS = {FASTER: f"{FASTER}.core.mask", REFERENCE: f"{REFERENCE}.mask"}


def backend() -> str:
    """The package that evaluates.

    Raises:
        DataError: none is installed.
    """
    for name in (FASTER, REFERENCE):
        if find_spec(name) is not None:
            return name
    raise DataError(
        "COCO's evaluation needs pycocotools; install it into this environment: "
        "pip install 'moco-harness[detection]'"
    )


def coco_ap(
    found: Sequence[Found],
    truth: InstanceImages,
    classes: Sequence[str],
    kind: Kind = "bbox",
    by: str | None = None,
) -> AveragePrecision:
    """The average precision of the 100 best detections of each test image.

    Crowds are ignored, as COCO does. A class without objects is not counted.

    Args:
        found: for each image of `truth`, in its order: what `merged` returns.
        kind: bbox, or segm for masks, which `found` and `truth` then have.
        by: FASTER or REFERENCE; None: `backend`.

    Raises:
        DataError: no package is installed that evaluates, or there is no object.
    """
    check_order(found, truth)
    if all(bool(image.instances.crowd.all()) for image in truth.images):
        raise DataError("no test image has an object that counts, so there is no precision")
    by = by or backend()
    with contextlib.redirect_stdout(io.StringIO()):  # both print as they go
        made = _evaluated(
            content(truth, classes, kind), results(found, truth, kind), kind, by, len(classes)
        )
    precisions = np.asarray(made.eval["precision"])[:, :, :, 0, -1]  # thresholds, recalls, classes
    # -1: the class has no object
    counted: list[bool] = np.any(precisions > -1, axis=(0, 1)).tolist()
    means = 100 * precisions[:, :, counted].mean(1)
    of_class = iter(means.mean(0).tolist())
    per_class = tuple(_rounded(next(of_class)) if many else None for many in counted)
    curves = {
        name: drawn_curve(precisions[n][:, counted].mean(1))
        for name, n in zip(DRAWN, (0, 5), strict=True)
    }
    ap, ap50, ap75 = (_rounded(each.mean()) for each in (means, means[0], means[5]))
    return AveragePrecision(ap, ap50, ap75, per_class, curves)


def _rounded(percent: float) -> float:
    """Without the last digits, in which the packages differ."""
    return round(float(percent), 9)


def _evaluated(
    truth: dict[str, Any], found: list[dict[str, Any]], kind: Kind, by: str, classes: int
) -> Any:
    reader, evaluator = (
        getattr(importlib.import_module(module), name) for module, name in _EVALUATORS[by]
    )
    known = reader()
    known.dataset = truth
    known.createIndex()
    if found:
        seen = known.loadRes(found)
    else:  # loadRes cannot do without
        seen = reader()
        seen.dataset = {**truth, "annotations": []}
        seen.createIndex()
    made = evaluator(known, seen, kind)
    assert len(made.params.catIds) == classes
    made.evaluate()
    made.accumulate()
    return made


def content(truth: InstanceImages, classes: Sequence[str], kind: Kind) -> dict[str, Any]:
    """The annotations as in a file of COCO, where an image's id is its number, from 1, and a
    category's its label + 1.

    Raises:
        DataError: masks are asked for, and the images were read without outlines.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(truth.images, 1):
        height, width = image.size
        images.append({"id": number, "height": height, "width": width})
        said = image.instances
        for n in range(len(said)):
            annotation = {
                "id": len(annotations) + 1,  # pycocotools takes 0 for no match
                "image_id": number,
                "category_id": int(said.labels[n]) + 1,
                "bbox": said.extents[n].tolist(),
                "area": float(said.areas[n]),
                "iscrowd": int(said.crowd[n]),
            }
            if kind == "segm":
                annotation["segmentation"] = _segmentation(said.outlines[n])
            annotations.append(annotation)
    categories = [{"id": n, "name": name} for n, name in enumerate(classes, 1)]
    return {"images": images, "annotations": annotations, "categories": categories, "info": {}}


def _segmentation(outline: Outline) -> Any:
    if outline is None:
        raise DataError("masks are to be evaluated, but the test images were read without outlines")
    if isinstance(outline, RunLengths):
        return {"size": list(outline.size), "counts": outline.counts.tolist()}
    return [part.tolist() for part in outline]


def results(found: Sequence[Found], truth: InstanceImages, kind: Kind) -> list[dict[str, Any]]:
    """The detections as in a file of COCO's results. Those of masks have no boxes: their areas are
    the masks'."""
    made: list[dict[str, Any]] = []
    for number, (one, image) in enumerate(zip(found, truth.images, strict=True), 1):
        if kind == "segm" and one.masks is None:
            raise DataError(
                f"masks are to be evaluated, but image {one.image} was detected without"
            )
        extents = one.boxes.copy()
        extents[:, 2:] -= extents[:, :2]
        shapes: Sequence[Any] = (
            extents.tolist()
            if kind == "bbox"
            else [{"size": list(image.size), "counts": mask} for mask in one.masks or ()]
        )
        field = "bbox" if kind == "bbox" else "segmentation"
        made += [
            {"image_id": number, "category_id": label + 1, "score": score, field: shape}
            for label, score, shape in zip(
                one.labels.tolist(), one.scores.tolist(), shapes, strict=True
            )
        ]
    return made


def encoded(masks: NDArray[np.bool_]) -> tuple[bytes, ...]:
    """COCO's compressed run lengths of masks, bool (n, H, W): what a Found has.

    Raises:
        DataError: no package is installed that encodes.
    """
    encode = importlib.import_module(_MASKS[backend()]).encode
    columns = np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8)
    return tuple(each["counts"] for each in encode(columns))
