"""What a detector sees: sizes, pixels, and boxes and outlines that move with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data.detection import open_detection
from harness.data.detection_views import (
    DetectionPolicy,
    resized,
    training_views,
    view,
    views_to_test,
)
from harness.data.instances import (
    AnnotatedImage,
    InstanceImages,
    Instances,
    Outline,
    RunLengths,
    instances,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)


def images(found: Instances) -> InstanceImages:
    return InstanceImages([AnnotatedImage("a", (6, 10), Image.fromarray(PIXELS), None, found)])


def boxed(*extents: tuple[float, ...], outlines: list[Outline] | None = None) -> InstanceImages:
    return images(instances(extents, list(range(len(extents))), outlines=outlines))


@pytest.mark.parametrize(
    ("size", "shortest", "longest", "found"),
    [
        ((480, 640), 800, 1333, (800, 1067)),  # 1066.67
        ((640, 480), 800, 1333, (1067, 800)),
        ((500, 500), 800, 1333, (800, 800)),
        ((375, 500), 480, 1333, (480, 640)),
        ((333, 500), 800, 1333, (800, 1201)),  # 1201.2
        ((200, 1000), 800, 1333, (267, 1333)),  # 266.6: the longer side decides
        ((1000, 200), 800, 1333, (1333, 267)),
        ((4, 6), 3, 100, (3, 5)),  # 4.5 is rounded up
    ],
)
def test_sizes_are_detectron2s(
    size: tuple[int, int], shortest: int, longest: int, found: tuple[int, int]
) -> None:
    assert resized(size, shortest, longest) == found


def test_pixels_are_resized_as_bytes_by_pillow_and_mirrored() -> None:
    seen = view(boxed((1, 1, 2, 2)), 0, (3, 5), flip=False)
    expected = np.asarray(Image.fromarray(PIXELS).resize((5, 3), Image.Resampling.BILINEAR))
    assert seen.image.dtype == torch.uint8
    assert seen.image.permute(1, 2, 0).tolist() == expected.tolist()
    mirrored = view(boxed((1, 1, 2, 2)), 0, (3, 5), flip=True)
    assert torch.equal(mirrored.image, seen.image.flip(-1))
    assert (seen.id, seen.original) == ("a", (6, 10))


def test_boxes_move_with_the_pixels() -> None:
    data = boxed((1, 2, 4, 3), (0, 0, 10, 6))
    plain, mirrored = (view(data, 0, (12, 15), flip) for flip in (False, True))
    assert plain.boxes.tolist() == [[1.5, 4, 7.5, 10], [0, 0, 15, 12]]
    assert mirrored.boxes.tolist() == [[7.5, 4, 13.5, 10], [0, 0, 15, 12]]
    assert plain.boxes.dtype == torch.float32
    assert plain.labels.tolist() == [0, 1]
    assert plain.masks is None


def test_boxes_are_clipped_and_empty_inverted_and_crowds_left_out() -> None:
    found = instances(
        [(-3, 1, 5, 9), (2, 2, 0, 3), (5, 5, -2, 1), (12, 1, 3, 3), (1, 1, 2, 2), (1, 1, 3, 3)],
        [0, 1, 2, 3, 4, 5],
        crowd=[False, False, False, False, True, False],
    )
    for flip in (False, True):
        seen = view(images(found), 0, (6, 10), flip)
        assert seen.labels.tolist() == [0, 5]
        assert seen.boxes.tolist()[0] == ([8, 1, 10, 6] if flip else [0, 1, 2, 6])
    none = view(images(instances([(2, 2, 0, 3)], [0])), 0, (6, 10), flip=False)
    assert none.boxes.shape == (0, 4)


def test_polygons_move_with_the_pixels() -> None:
    square, other = np.array([1.0, 2, 4, 2, 4, 5]), np.array([0.0, 0, 10, 0, 10, 6])
    data = boxed(
        (1, 2, 3, 3), (0, 0, 0, 6), (0, 0, 9, 6), outlines=[(square,), (other,), (other, square)]
    )
    plain, mirrored = (view(data, 0, (12, 15), flip) for flip in (False, True))
    assert plain.masks == [
        [[1.5, 4, 6, 4, 6, 10]],
        [[0, 0, 15, 0, 15, 12], [1.5, 4, 6, 4, 6, 10]],
    ]
    assert isinstance(mirrored.masks, list)
    assert mirrored.masks[0] == [[13.5, 4, 9, 4, 9, 10]]
    assert square.tolist() == [1, 2, 4, 2, 4, 5]  # the annotation itself has not moved


def test_masks_move_with_the_pixels_and_those_that_vanish_are_left_out() -> None:
    whole, dot = np.zeros((6, 10), dtype=bool), np.zeros((6, 10), dtype=bool)
    whole[1:5, 2:6] = True
    dot[0, 0] = True
    outlines = [RunLengths((6, 10), np.array(runs(mask))) for mask in (dot, whole)]
    data = boxed((0, 0, 1, 1), (2, 1, 4, 4), outlines=list(outlines))
    seen, mirrored = (view(data, 0, (3, 5), flip) for flip in (False, True))
    expected = torch.from_numpy(whole[1::2, 1::2])  # Pillow takes the pixel right of the middle
    assert isinstance(seen.masks, torch.Tensor)
    assert isinstance(mirrored.masks, torch.Tensor)
    assert seen.masks.dtype == torch.bool
    assert torch.equal(seen.masks, expected[None])
    assert torch.equal(mirrored.masks, expected.flip(-1)[None])
    assert seen.labels.tolist() == [1]
    nothing = view(boxed((0, 0, 0, 1), outlines=[outlines[0]]), 0, (3, 5), flip=False)
    assert isinstance(nothing.masks, torch.Tensor)
    assert nothing.masks.shape == (0, 3, 5)


def runs(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> list[int]:
    flat, lengths, inside = mask.T.ravel().tolist(), [0], False
    for pixel in flat:
        if pixel != inside:
            lengths.append(0)
            inside = pixel
        lengths[-1] += 1
    return lengths


def test_draws_depend_on_the_key_and_the_image_alone() -> None:
    data = open_detection("scenes", None, images=40, tested=1, size=32).train  # type: ignore[arg-type]
    policy = DetectionPolicy((24, 28, 32, 36), 100)
    every = training_views(data, torch.arange(40), policy, 0, "augment", 7)
    (again,) = training_views(data, torch.tensor([23]), policy, 0, "augment", 7)
    assert again.image.shape == every[23].image.shape
    assert torch.equal(again.image, every[23].image)
    assert torch.equal(again.boxes, every[23].boxes)
    assert {one.image.shape[1] for one in every} == {24, 28, 32, 36}
    other = training_views(data, torch.arange(40), policy, 0, "augment", 8)
    assert [one.image.shape for one in other] != [one.image.shape for one in every]
    plain = DetectionPolicy((32,), 100, flip_p=0)
    mirrored = sum(
        not torch.equal(one.image, still.image)
        for one, still in zip(
            training_views(data, torch.arange(40), DetectionPolicy((32,), 100), 0, "augment", 7),
            training_views(data, torch.arange(40), plain, 0, "augment", 7),
            strict=True,
        )
    )
    assert 10 <= mirrored <= 30


def test_views_to_test_on_are_resized_only() -> None:
    data = open_detection("scenes", None, images=1, tested=3, size=32).test  # type: ignore[arg-type]
    seen = views_to_test(data, torch.tensor([2, 0]), 64, 100)
    assert [one.id for one in seen] == [2, 0]
    assert seen[0].image.shape == (3, 64, 64)
    assert torch.equal(seen[0].boxes, torch.from_numpy(data.images[2].instances.boxes).float() * 2)
