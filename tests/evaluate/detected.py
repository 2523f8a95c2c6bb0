"""Images with objects and detections of them, for tests of the evaluators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from harness.data.instances import AnnotatedImage, InstanceImages, Instances, RunLengths, instances
from harness.evaluate.detections import Found

SIZE = (60, 80)

Detection = tuple[int, float, tuple[float, float, float, float]]
"""Label, score, x1, y1, x2, y2."""


def truth(*images: Instances) -> InstanceImages:
    """Images with the ids 0, 1, ..."""
    image = Image.new("RGB", SIZE[::-1])
    return InstanceImages(
        [AnnotatedImage(n, SIZE, image, None, each) for n, each in enumerate(images)]
    )


def found(image: int, *detections: Detection, masks: tuple[bytes, ...] | None = None) -> Found:
    n = len(detections)
    return Found(
        image,
        np.array([box for _, _, box in detections], dtype=np.float32).reshape(n, 4),
        np.array([label for label, _, _ in detections], dtype=np.int64),
        np.array([score for _, score, _ in detections], dtype=np.float32),
        masks,
    )


def random_case(
    seed: int, classes: int = 3, images: int = 12
) -> tuple[InstanceImages, list[Found]]:
    """Objects, some difficult or crowds, and detections near them: jittered, doubled, mistaken, and
    with few different scores."""
    draws = np.random.default_rng(seed)
    every, detected = [], []
    for number in range(images):
        n = int(draws.integers(0, 6))
        corner = draws.integers(0, 40, (n, 2))
        sides = draws.integers(4, 30, (n, 2)).clip(max=np.array([80, 60]) - corner)
        labels = draws.integers(0, classes, n)
        boxes = np.concatenate([corner, sides], 1)
        crowd, difficult = (draws.random((2, n)) < 0.2).tolist()
        every.append(
            instances(
                boxes.tolist(),
                labels.tolist(),
                crowd=crowd,
                difficult=difficult,
                areas=(boxes[:, 2] * boxes[:, 3] * 0.9).tolist(),
                outlines=[rectangle(box) for box in boxes.tolist()],
            )
        )
        found_here = []
        for box, label in zip(boxes.tolist() * 3, labels.tolist() * 3, strict=True):
            x, y, width, height = (at + draws.normal(0, 1.5) for at in box)
            called = int(draws.integers(0, classes)) if draws.random() < 0.1 else label
            score = round(float(draws.random()), 1) + float(draws.random()) * 2e-3
            seen = max(x, 0), max(y, 0), min(x + max(width, 1), 80), min(y + max(height, 1), 60)
            found_here.append((called, min(score, 1.0), seen))
        found_here.sort(key=lambda one: -one[1])
        detected.append(found(number, *found_here))
    return truth(*every), detected


def rectangle(box: Sequence[int]) -> RunLengths:
    """The mask of x, y, width, height."""
    return RunLengths(SIZE, np.array(runs(box)))


def runs(box: Sequence[int]) -> list[int]:
    """Its run lengths."""
    x, y, width, height = box
    tall, wide = SIZE
    before = x * tall + y
    between = [tall - height] * (width - 1)
    counts = [before]
    for gap in between:
        counts += [height, gap]
    counts.append(height)
    return [*counts, tall * wide - sum(counts)]
