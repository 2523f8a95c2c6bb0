"""Segmentation networks are tested on whole images of any size; any ranks give the same scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.data.joint_views import normalised
from harness.data.masks import IGNORED, MaskedImages, MaskStack, Pair
from harness.data.segmentation import Segmentation, open_segmentation
from harness.evaluate.features import NotFinite
from harness.evaluate.miou import MeanIoU, confusion, mean_iou
from harness.evaluate.segmentation import predicted_masks, segmentation_scores
from harness.model.fcn import FCN, build_fcn
from harness.recipe.schema import Model
from harness.runtime.world import World

ALONE = World.alone(torch.device("cpu"))


class Mixed(MaskedImages):
    """Images of the given sizes, from noise."""

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def size(self, i: int) -> tuple[int, int]:
        return self.sizes[i]

    def pair(self, i: int) -> Pair:
        draw = torch.Generator().manual_seed(i)
        image = torch.randint(256, (3, *self.sizes[i]), generator=draw, dtype=torch.uint8)
        mask = torch.randint(5, self.sizes[i], generator=draw, dtype=torch.uint8)
        return image, torch.where(mask == 4, IGNORED, mask)

    def subset(self, index: Tensor) -> MaskedImages:
        return Mixed([self.sizes[i] for i in index.tolist()])

    def digest(self) -> bytes:
        return b""


SIZES = [(24, 31)] * 5 + [(33, 20)] * 7 + [(24, 31)] * 9


def network(classes: int = 4) -> FCN:
    made = build_fcn(Model.model_validate({"backbone": "miniature", "bn_group": 2}), classes, 2, 0)
    return made.eval()


def mixed() -> Segmentation:
    scenes = open_segmentation("scenes", Path(), images=1, tested=1, size=24)
    return replace(scenes, test=Mixed(SIZES), classes=("a", "b", "c", "d"))


def test_scores_are_those_of_every_image_alone() -> None:
    fcn, data = network(), mixed()
    counts = torch.zeros(4, 4, dtype=torch.int64)
    for i in range(len(data.test)):
        image, mask = data.test.pair(i)
        with torch.no_grad():
            scores = fcn(normalised(image, data.mean, data.std)[None])
        assert scores.shape[2:] == mask.shape
        counts += confusion(scores.argmax(1)[0], mask, 4)
    found = segmentation_scores(fcn, data, ALONE)
    assert found.per_class == pytest.approx(mean_iou(counts, ALONE).per_class, abs=0.5)
    assert 0 < found.mean < 100


def test_predicted_masks_have_the_images_size() -> None:
    data = mixed()
    images = torch.stack([data.test.pair(i)[0] for i in range(3)])
    masks = predicted_masks(network(), images, data)
    assert (masks.shape, masks.dtype) == ((3, 24, 31), torch.uint8)
    assert len(masks.unique()) > 1


def test_ignored_pixels_and_perfect_predictions() -> None:
    fcn, data = network(), mixed()
    images = torch.stack([data.test.pair(i)[0] for i in range(3)])
    masks = predicted_masks(fcn, images, data)
    masks[:, :5] = IGNORED
    found = segmentation_scores(fcn, replace(data, test=MaskStack(images, masks)), ALONE)
    assert found.mean == found.accuracy == 100


def test_scores_that_are_not_finite_are_refused() -> None:
    fcn = network()
    with torch.no_grad():
        fcn.get_parameter("head.6.bias")[1] = torch.nan
    with pytest.raises(NotFinite):
        segmentation_scores(fcn, mixed(), ALONE)


def of_ranks(world: World, spoilt: int | None = None) -> MeanIoU | str:
    torch.set_num_threads(1)
    fcn = network()
    if world.rank == spoilt:
        with torch.no_grad():
            fcn.get_parameter("head.6.bias").fill_(torch.inf)
    try:
        return segmentation_scores(fcn, mixed(), world)
    except NotFinite:
        return "not finite"


@pytest.mark.parametrize("size", [2, 4])
def test_any_number_of_ranks_gives_the_same_scores(gloo: Any, size: int) -> None:
    """With four ranks one has no image."""
    assert gloo.run(of_ranks, size) == [of_ranks(ALONE)] * size


def test_all_ranks_stop_if_one_is_not_finite(gloo: Any) -> None:
    assert gloo.run(of_ranks, 2, 1) == ["not finite"] * 2
