"""Instances and boxes whose masks detectron2 made once.

masks.json holds, row by row: `polygons`, its rasterize_polygons_within_box (through pycocotools
2.0.11) for each of BOXES; `whole`, the polygons as masks of the image; `bitmaps`, its
BitMasks.crop_and_resize of those for each of BOXES.
"""

from __future__ import annotations

from harness.model.detection.boxes import Polygons

SIDE = 14
IMAGE = (24, 32)

POLYGONS: list[Polygons] = [
    [[3.2, 2.0, 20.5, 4.25, 28.0, 15.5, 9.0, 21.75]],
    [[2.0, 2.0, 10.0, 2.0, 10.0, 9.0, 2.0, 9.0], [15.5, 10.5, 30.0, 12.0, 22.0, 23.5]],
    [[-4.0, 5.0, 12.0, -3.0, 40.0, 30.0, 16.0, 12.0, 2.0, 26.0]],  # beyond the image, not convex
    [[5.0, 5.0, 25.0, 20.0, 25.0, 5.0, 5.0, 20.0]],  # crosses itself
]

BOXES: list[tuple[int, tuple[float, float, float, float]]] = [
    (0, (3.2, 2.0, 28.0, 21.75)),
    (0, (10.0, 0.0, 31.5, 18.25)),
    (1, (1.5, 1.5, 30.0, 23.5)),
    (1, (14.0, 9.0, 23.0, 24.0)),
    (2, (0.0, 0.0, 32.0, 24.0)),
    (3, (5.0, 5.0, 25.0, 20.0)),
    (3, (14.9, 5.0, 14.95, 20.0)),  # narrower than a tenth of a pixel
]
