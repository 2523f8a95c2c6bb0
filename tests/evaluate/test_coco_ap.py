"""COCO's average precision: the packages' own, from the annotations as they were read."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluate.detected import found, random_case, runs, truth

from harness.data.coco_instances import coco_instances
from harness.data.instances import InstanceImages, instances
from harness.data.scene_files import write_coco
from harness.errors import DataError
from harness.evaluate import coco_ap as module
from harness.evaluate.coco_ap import FASTER, REFERENCE, Kind, backend, coco_ap, content, encoded
from harness.evaluate.detections import RECALLS, Found

NAMES = ["a", "b", "c", "none"]

compares = [
    pytest.mark.libraries,
    pytest.mark.skipif(
        not all(map(find_spec, (FASTER, REFERENCE))), reason=f"not installed: {FASTER}, {REFERENCE}"
    ),
]


def test_the_extra_is_named_where_no_package_evaluates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"pip install 'moco-harness\[detection\]'"):
        coco_ap([found(0)], truth(instances([(1, 1, 5, 5)], [0])), ["a"])
    monkeypatch.setattr(module, "find_spec", lambda name: name if name == REFERENCE else None)
    assert backend() == REFERENCE
    monkeypatch.setattr(module, "find_spec", lambda _: True)
    assert backend() == FASTER


def test_images_without_an_object_that_counts_are_refused() -> None:
    crowds = truth(instances([(1, 1, 5, 5)], [0], crowd=[True]), instances([], []))
    with pytest.raises(DataError, match="no test image has an object"):
        coco_ap([found(0), found(1)], crowds, ["a"])


def test_masks_are_not_evaluated_without_outlines() -> None:
    with pytest.raises(DataError, match="read without outlines"):
        coco_ap([found(0)], truth(instances([(1, 1, 5, 5)], [0])), ["a"], "segm", REFERENCE)
    images, detections = random_case(0)
    with pytest.raises(DataError, match="detected without"):
        coco_ap(detections, images, NAMES, "segm", REFERENCE)


def test_annotations_are_passed_on_as_the_file_has_them(tmp_path: Path) -> None:
    """To the last digit, and crowds, areas and outlines too."""
    path = write_coco(tmp_path / "coco", "test", 3, 60)
    said = json.loads(path.read_text())
    for n, annotation in enumerate(said["annotations"]):
        annotation["bbox"] = [at + 0.1 * n for at in annotation["bbox"]]
        annotation["area"] += 0.7
    said["annotations"][1]["iscrowd"] = 1
    path.write_text(json.dumps(said))
    read = coco_instances(tmp_path, "val2017", outlines=True)
    made = content(InstanceImages(read.images), read.classes, "segm")
    assert made["annotations"] == said["annotations"]


def with_masks(detections: list[Found]) -> list[Found]:
    """Each box's rectangle as its mask."""
    made = []
    for one in detections:
        x1, y1, x2, y2 = one.boxes.astype(int).T
        boxes = np.stack([x1, y1, (x2 - x1).clip(1), (y2 - y1).clip(1)], 1).tolist()
        masks = [np.repeat(np.arange(len(r)) % 2, r).reshape(80, 60).T for r in map(runs, boxes)]
        stack = np.array(masks, dtype=bool).reshape(len(boxes), 60, 80)
        made.append(replace(one, masks=encoded(stack) if boxes else ()))
    return made


class TestAgainstThePackages:
    pytestmark = compares

    @pytest.mark.parametrize("kind", ["bbox", "segm"])
    def test_both_packages_say_the_same(self, kind: Kind) -> None:
        for seed in range(4):
            images, detections = random_case(seed)
            detections = with_masks(detections)
            slow, fast = (
                coco_ap(detections, images, NAMES, kind, by) for by in (REFERENCE, FASTER)
            )
            assert 5 < slow.ap < 90
            assert (fast.ap, fast.ap50, fast.ap75) == (slow.ap, slow.ap50, slow.ap75)
            assert fast.per_class == slow.per_class
            assert fast.curves == slow.curves
            for at, ap in (("0.50", slow.ap50), ("0.75", slow.ap75)):
                assert len(slow.curves[at]) == RECALLS
                assert 100 * sum(slow.curves[at]) / RECALLS == pytest.approx(ap, abs=1e-3)
            assert slow.per_class[3] is None

    @pytest.mark.parametrize("by", [REFERENCE, FASTER])
    def test_detections_without_any(self, by: str) -> None:
        images = truth(instances([(1, 1, 5, 5)], [0]), instances([], []))
        nothing = coco_ap([found(0), found(1)], images, ["a", "b"], "bbox", by)
        assert (nothing.ap, nothing.ap50, nothing.per_class) == (0, 0, (0, None))
        perfect = coco_ap([found(0, (0, 0.5, (1, 1, 6, 6))), found(1)], images, ["a"], "bbox", by)
        assert perfect.ap == pytest.approx(100)

    @pytest.mark.parametrize("kind", ["bbox", "segm"])
    def test_it_is_what_pycocotools_reads_from_the_files(self, tmp_path: Path, kind: Kind) -> None:
        """Ids with gaps, a crowd, and areas of the annotations' own."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        path = write_coco(tmp_path / "coco", "test", 8, 60)
        said = json.loads(path.read_text())
        for category in said["categories"]:
            category["id"] *= 3
        for annotation in said["annotations"]:
            annotation["category_id"] *= 3
            annotation["bbox"] = [at + 0.37 for at in annotation["bbox"]]
        said["annotations"][2]["iscrowd"] = 1
        path.write_text(json.dumps(said))
        read = coco_instances(tmp_path, "val2017", outlines=True)
        detections = near(InstanceImages(read.images))
        with contextlib.redirect_stdout(io.StringIO()):
            theirs = COCO(str(path))
            evaluator = COCOeval(theirs, theirs.loadRes(lines(detections, kind)), kind)
            evaluator.evaluate()
            evaluator.accumulate()
            evaluator.summarize()
        made = coco_ap(detections, InstanceImages(read.images), read.classes, kind)
        assert 5 < made.ap < 95
        expected = 100 * evaluator.stats[:3]
        assert (made.ap, made.ap50, made.ap75) == pytest.approx(tuple(expected), abs=1e-9)


def near(images: InstanceImages) -> list[Found]:
    draws = np.random.default_rng(1)
    detections = []
    for image in images.images:
        boxes = np.repeat(image.instances.boxes, 2, axis=0)
        boxes = (boxes + draws.normal(0, 2, boxes.shape)).clip(0, 60)
        labels = np.repeat(image.instances.labels, 2)
        shifted = [np.roll(each.mask(), 1, 0) for each in image.instances.outlines]  # type: ignore[union-attr]
        masks = encoded(np.repeat(np.array(shifted), 2, axis=0))
        scores = draws.random(len(labels)).astype(np.float32)
        detections.append(Found(image.id, boxes.astype(np.float32), labels, scores, masks))
    return detections


def lines(detections: list[Found], kind: Kind) -> list[dict[str, Any]]:
    """Results as COCO's server takes them."""
    made = []
    for one in detections:
        assert one.masks is not None
        for n in range(len(one)):
            x1, y1, x2, y2 = one.boxes[n].tolist()
            shape: dict[str, Any] = {"bbox": [x1, y1, x2 - x1, y2 - y1]}
            if kind == "segm":
                shape = {"segmentation": {"size": [60, 60], "counts": one.masks[n]}}
            category = 3 * (int(one.labels[n]) + 1)
            made.append(
                {
                    "image_id": one.image,
                    "category_id": category,
                    "score": float(one.scores[n]),
                    **shape,
                }
            )
    return made
