"""What a detector found in test images: brought together from all processes, each image once."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.instances import InstanceImages
from harness.errors import HarnessError
from harness.runtime.world import World


@dataclass(frozen=True)
class Found:
    """What was found in one image, n detections in descending order of their scores."""

    image: int | str
    """The image's id in its data set."""
    boxes: NDArray[np.float32]
    """(n, 4): x1, y1, x2, y2 in pixels of the image's file, counted from its upper left corner."""
    labels: NDArray[np.int64]
    """(n,), classes from 0."""
    scores: NDArray[np.float32]
    """(n,), probabilities."""
    masks: tuple[bytes, ...] | None = None
    """COCO's compressed run lengths of each mask, at the size of the image's file (see
    coco_ap.encoded); None: boxes only."""

    def __len__(self) -> int:
        return len(self.labels)


RECALLS = 101
"""Recalls at which a curve has a precision: 0, 0.01, ... 1."""
DRAWN = ("0.50", "0.75")
"""Thresholds of intersection over union that have a curve."""

Curve = tuple[float, ...]
"""(RECALLS,): the best precision at each recall or a higher one, in [0, 1], the mean over
classes."""


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision in percent."""

    ap: float
    """Mean over thresholds of intersection over union from 0.50 to 0.95 in steps of 0.05."""
    ap50: float
    """At a threshold of 0.50."""
    ap75: float
    """At a threshold of 0.75."""
    per_class: tuple[float | None, ...]
    """`ap` of each class; None: the class has no object that counts."""
    curves: Mapping[str, Curve]
    """By the thresholds in DRAWN."""


def drawn_curve(precision: NDArray[np.float64]) -> Curve:
    """The precision at each recall, (RECALLS,), with as many digits as a drawing shows."""
    return tuple(round(float(each), 5) for each in precision)


def check_order(found: Sequence[Found], truth: InstanceImages) -> None:
    """Raise a ValueError unless there is a Found for each image, in the order of the images."""
    if [one.image for one in found] != [image.id for image in truth.images]:
        raise ValueError("the detections are not those of the test images, in their order")


def merged(parts: Iterable[Iterable[Found]], wanted: Sequence[int | str]) -> list[Found]:
    """The detections of all processes in the order of the test images.

    Args:
        parts: of each process.
        wanted: the ids of all test images. One without detections has a Found, too.

    Raises:
        HarnessError: an image is there twice, is none of the test images, or is lacking; named.
    """
    known = set(wanted)
    found: dict[int | str, Found] = {}
    for part in parts:
        for one in part:
            if one.image in found:
                raise HarnessError(f"test image {one.image}: its detections are there twice")
            if one.image not in known:
                raise HarnessError(f"test image {one.image}: detections, but no such test image")
            found[one.image] = one
    if lacking := [str(image) for image in wanted if image not in found]:
        raise HarnessError(
            f"{len(lacking):,} of {len(wanted):,} test images have not been tested: "
            f"{', '.join(lacking[:3])}{' ...' if len(lacking) > 3 else ''}"
        )
    return [found[image] for image in wanted]


def gathered(found: Sequence[Found], world: World) -> list[list[Found]]:
    """The detections of each process, on every process."""
    if world.size == 1:
        return [list(found)]
    packed = torch.frombuffer(bytearray(pack(found)), dtype=torch.uint8)
    sizes = world.gather(torch.tensor([len(packed)], device=world.device)).tolist()
    padded = torch.zeros(max(sizes), dtype=torch.uint8)
    padded[: len(packed)] = packed
    every = world.gather(padded.to(world.device)).cpu().view(len(sizes), -1)
    return [unpack(row[:size].numpy().tobytes()) for row, size in zip(every, sizes, strict=True)]


def pack(found: Sequence[Found]) -> bytes:
    """The detections as bytes."""
    file = io.BytesIO()
    masks = [mask for one in found for mask in one.masks or ()]
    np.savez(
        file,
        ids=np.array([f"{type(one.image).__name__}:{one.image}" for one in found], dtype=np.str_),
        lengths=np.array([len(one) for one in found], dtype=np.int64),
        masked=np.array([one.masks is not None for one in found], dtype=np.bool_),
        boxes=np.concatenate([np.empty((0, 4), np.float32), *(one.boxes for one in found)]),
        labels=np.concatenate([np.empty(0, np.int64), *(one.labels for one in found)]),
        scores=np.concatenate([np.empty(0, np.float32), *(one.scores for one in found)]),
        sizes=np.array([len(mask) for mask in masks], dtype=np.int64),
        masks=np.frombuffer(b"".join(masks), dtype=np.uint8),
    )
    return file.getvalue()


def unpack(content: bytes) -> list[Found]:
    """The detections that `pack` has packed."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        parts = {name: file[name] for name in file.files}
    cuts = np.cumsum(parts["lengths"])[:-1]
    every = parts["masks"].tobytes()
    ends = np.cumsum(parts["sizes"]).tolist()
    starts = [0, *ends[:-1]]
    masks = iter([every[start:end] for start, end in zip(starts, ends, strict=False)])
    split = [np.split(parts[of], cuts) for of in ("boxes", "labels", "scores")]
    found = []
    for name, masked, boxes, labels, scores in zip(
        parts["ids"].tolist(), parts["masked"], *split, strict=False
    ):
        kind, _, text = name.partition(":")
        own = tuple(next(masks) for _ in labels) if masked else None
        found.append(Found(int(text) if kind == "int" else text, boxes, labels, scores, own))
    return found
