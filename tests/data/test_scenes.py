"""Embedded scenes are a pure function, and their boxes, masks and semantic map say the same."""

from __future__ import annotations

import pytest
import torch

from harness.data.embedded import CLASSES
from harness.data.scenes import BACKGROUND, MOST, SIDES, VERSION, Scene, scene
from harness.runtime import keyed

SCENES = [scene("train", index, 48) for index in range(60)]


def digest(drawn: Scene) -> int:
    return keyed.key(*torch.cat([drawn.image.flatten(), drawn.semantic.flatten()]).tolist())


def test_shapes_and_types() -> None:
    for drawn in SCENES:
        n = len(drawn.labels)
        assert 1 <= n <= MOST
        assert drawn.image.shape == (3, 48, 48)
        assert drawn.image.dtype == drawn.semantic.dtype == torch.uint8
        assert drawn.masks.shape == (n, 48, 48)
        assert drawn.masks.dtype == torch.bool
        assert drawn.boxes.shape == (n, 4)
        assert torch.equal(drawn.image[0], drawn.image[2])


def test_each_number_of_figures_and_each_class_occurs() -> None:
    assert {len(drawn.labels) for drawn in SCENES} == {1, 2, 3}
    assert {int(label) for drawn in SCENES for label in drawn.labels} == set(range(len(CLASSES)))


def test_figures_do_not_overlap_and_the_semantic_map_is_made_of_their_masks() -> None:
    for drawn in SCENES:
        assert int(drawn.masks.sum(0).max()) == 1
        for label, mask in zip(drawn.labels, drawn.masks, strict=True):
            assert set(drawn.semantic[mask].tolist()) == {int(label) + 1}
        assert set(drawn.semantic[~drawn.masks.any(0)].tolist()) <= {BACKGROUND}


def test_a_box_is_the_tightest_around_its_mask() -> None:
    for drawn in SCENES:
        for mask, box in zip(drawn.masks, drawn.boxes, strict=True):
            x0, y0, x1, y1 = (int(at) for at in box)
            assert int(mask[y0:y1, x0:x1].sum()) == int(mask.sum())
            for edge in (mask[y0], mask[y1 - 1], mask[:, x0], mask[:, x1 - 1]):
                assert bool(edge.any())


def test_figures_differ_from_their_background() -> None:
    for drawn in SCENES:
        image = drawn.image[0].float()
        ground = image[drawn.semantic == BACKGROUND]
        for mask in drawn.masks:
            assert float((image[mask] - ground.mean()).abs().mean()) > 2


def test_the_same_arguments_give_the_same_scene_and_others_another() -> None:
    torch.manual_seed(1)
    first = digest(scene("train", 3, 48))
    torch.manual_seed(2)
    torch.rand(5)
    assert digest(scene("train", 3, 48)) == first
    assert digest(scene("test", 3, 48)) != first
    assert digest(scene("train", 4, 48)) != first


def test_the_size_in_pixels_moves_no_figure() -> None:
    small, large = scene("test", 7, 32), scene("test", 7, 96)
    assert torch.equal(small.labels, large.labels)
    assert torch.allclose(small.boxes * 3, large.boxes, atol=3.0)


def test_this_version_draws_these_scenes() -> None:
    assert VERSION == 1
    for drawn, (labels, boxes, brightness) in zip(SCENES, GOLDEN, strict=False):
        assert drawn.labels.tolist() == labels
        assert drawn.boxes.tolist() == boxes
        assert float(drawn.image.float().mean()) == pytest.approx(brightness, abs=0.1)


@pytest.mark.parametrize("size", [SIDES[0], SIDES[1]])
def test_no_mask_is_empty_at_the_bounds(size: int) -> None:
    few = 300 if size == SIDES[0] else 5
    assert all(bool(scene("train", n, size).masks.any(2).any(1).all()) for n in range(few))


@pytest.mark.parametrize("size", [SIDES[0] - 1, SIDES[1] + 1])
def test_sizes_beyond_the_bounds_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=str(size)):
        scene("train", 0, size)


GOLDEN: list[tuple[list[int], list[list[int]], float]] = [
    ([8, 1], [[6, 26, 22, 41], [30, 3, 45, 17]], 110.2),
    ([3, 9, 5], [[25, 10, 37, 23], [3, 19, 17, 37], [20, 29, 33, 45]], 107.8),
    ([3], [[5, 16, 25, 36]], 132.1),
]
