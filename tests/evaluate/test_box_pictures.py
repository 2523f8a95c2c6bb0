"""Pictures of boxes: where and in which colour they are, and what is said of them."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from harness.data.instances import RunLengths, instances
from harness.evaluate.box_pictures import (
    detections_png,
    detections_text,
    legend,
    objects_png,
    objects_text,
)
from harness.evaluate.detections import Found
from harness.store.pictures import why_not_png

NAMES = ("disc", "ring", "cross")
GREY = torch.full((3, 72, 96), 200, dtype=torch.uint8)  # enlarged twice


def pixels(png: bytes) -> np.ndarray:
    assert why_not_png(png) == ""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def colour(name: str) -> list[int]:
    said = dict(legend(NAMES))[name]
    return [int(said[n : n + 2], 16) for n in (1, 3, 5)]


def found(*scores: float) -> Found:
    boxes = np.array([[10.0, 20.0, 40.0, 50.0]] * len(scores), np.float32)
    boxes[1:] += 8
    return Found(0, boxes, np.arange(len(scores)), np.array(scores, np.float32))


def test_a_box_is_drawn_around_its_object_and_each_class_has_a_colour() -> None:
    true = instances([(10.0, 20.0, 30.0, 30.0)], [1])
    drawn = pixels(objects_png(GREY, true))
    assert drawn.shape[:2] == (144, 192)
    marked = (drawn == colour("ring")).all(-1)
    rows, columns = marked.any(1).nonzero()[0], marked.any(0).nonzero()[0]
    assert (columns[0], rows[0], columns[-1], rows[-1]) == (20, 40, 79, 99)
    assert (drawn[60:80, 30:70] == 200).all()
    assert len({colour for _, colour in legend(NAMES)}) == 3
    assert objects_text(true, NAMES) == "ring"


def test_a_mask_covers_its_pixels_and_a_crowd_is_not_drawn() -> None:
    mask = np.zeros((72, 96), dtype=np.int64)
    mask[20:50, 10:40] = 1
    runs = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=0, append=-1)), prepend=0)
    outline = RunLengths((72, 96), runs)
    assert (outline.mask() == mask).all()
    true = instances([(10.0, 20.0, 30.0, 30.0)], [0], outlines=[outline])
    drawn = pixels(objects_png(GREY, true))
    inside = drawn[70, 50].astype(int)
    assert inside.tolist() == [round((200 + part) / 2) for part in colour("disc")]
    polygon = (np.array([10.0, 20.0, 40.0, 20.0, 40.0, 50.0, 10.0, 50.0]),)
    same = instances([(10.0, 20.0, 30.0, 30.0)], [0], outlines=[polygon])
    assert (pixels(objects_png(GREY, same))[70, 50] == inside).all()
    crowd = instances([(10.0, 20.0, 30.0, 30.0)], [0], crowd=[True])
    assert (pixels(objects_png(GREY, crowd)) == 200).all()
    assert objects_text(crowd, NAMES) == "nothing"


def test_only_probable_detections_are_drawn_and_said() -> None:
    drawn = pixels(detections_png(GREY, found(0.9, 0.3)))
    assert (drawn == colour("disc")).all(-1).any()
    assert not (drawn == colour("ring")).all(-1).any()
    assert detections_text(found(0.9, 0.3), NAMES) == "disc 0.90"
    assert (pixels(detections_png(GREY, found())) == 200).all()
    assert detections_text(found(), NAMES) == "nothing"


def test_of_improbable_detections_the_first_is_shown() -> None:
    drawn = pixels(detections_png(GREY, found(0.1, 0.3)))
    assert (drawn == colour("ring")).all(-1).any()
    assert not (drawn == colour("disc")).all(-1).any()
    assert detections_text(found(0.1, 0.3), NAMES) == "ring 0.30"
