"""Detectors are tested on whole images of any size; any ranks give the same detections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gloo import Pool
from PIL import Image

from harness.data.detection import DetectionSet, open_detection
from harness.data.instances import AnnotatedImage, InstanceImages, instances
from harness.evaluate.detection import detection_scores, found_in
from harness.evaluate.features import NotFinite
from harness.model.detection.build import build_detector, detector
from harness.model.detection.detector import Detector
from harness.recipe.schema import Model
from harness.runtime.world import World

ALONE = World.alone(torch.device("cpu"))
SIZES = [(24, 31)] * 5 + [(33, 20)] * 7 + [(24, 31)] * 9


def data() -> DetectionSet:
    """Test images of several sizes, from noise, each with one object."""
    draws = np.random.default_rng(3)
    images = [
        AnnotatedImage(
            n,
            size,
            Image.fromarray(draws.integers(256, size=(*size, 3), dtype=np.uint8)),
            None,
            instances([(2.0, 3.0, 9.0, 12.0)], [n % 10]),
        )
        for n, size in enumerate(SIZES)
    ]
    scenes = open_detection("scenes", Path(), images=1, tested=1, size=24)
    return replace(scenes, test=InstanceImages(images))


def network() -> Detector:
    """It finds many things, as its scores are far apart."""
    model = Model.model_validate({"backbone": "miniature", "bn_group": 2})
    made = build_detector("small", model, 10, 2, 0)
    with torch.no_grad():
        made.get_parameter("box.score.weight")[:] *= 40
    return made.eval()


def found(world: World) -> list[dict[str, Any]]:
    scores = detection_scores(network(), data(), 28, 40, world, as_coco=False)
    every = [
        {
            "image": one.image,
            "boxes": one.boxes.tolist(),
            "scores": one.scores.tolist(),
            "labels": one.labels.tolist(),
        }
        for one in scores.found
    ]
    return [*every, {"ap": scores.boxes.ap, "ap50": scores.boxes.ap50}]


def test_ranks_share_the_images_and_agree(gloo: Pool) -> None:
    expected = found(ALONE)
    assert [one["image"] for one in expected[:-1]] == list(range(len(SIZES)))
    assert sum(len(one["scores"]) for one in expected[:-1]) > 50
    for each in gloo.run(found, 2):
        assert each == expected


def test_boxes_are_those_of_the_files_pixels() -> None:
    """Two sizes of the same image: the boxes lie in the image, not in what the network saw."""
    own = data()
    for shortest in (28, 56):
        for one in found_in(network(), own, torch.arange(6), shortest, 999, ALONE.device):
            height, width = SIZES[int(one.image)]
            assert one.boxes[:, 2].max() <= width
            assert one.boxes[:, 3].max() <= height
            assert one.boxes[:, [2, 3]].max() > 0.8 * min(height, width)


@pytest.mark.parametrize("part", ["box", "rpn"])
def test_an_output_that_is_not_finite_allows_no_measurement(part: str) -> None:
    made = network()
    with torch.no_grad():
        name = "box.score.bias" if part == "box" else "rpn.objectness.bias"
        made.get_parameter(name)[0] = torch.nan
    with pytest.raises(NotFinite):
        detection_scores(made, data(), 28, 40, ALONE, as_coco=False)


def test_masks_that_are_not_finite_allow_no_measurement() -> None:
    """They would look empty."""
    model = Model.model_validate({"backbone": "resnet18", "bn_group": 2})
    torch.manual_seed(0)
    made = detector("mask_fpn", model, 3, 2).eval()
    assert made.mask is not None
    with torch.no_grad():
        made.box.score.weight *= 40
        *_, bias = made.mask.parameters()
        bias[1] = torch.nan
    with pytest.raises(FloatingPointError, match="mask"):
        made.detect([torch.rand(3, 32, 32)])


def lone_failure(world: World) -> str:
    """Rank 1's images alone give an output that is not finite."""
    made = network()
    if world.rank == 1:
        with torch.no_grad():
            made.box.score.bias[0] = torch.nan
    with pytest.raises(NotFinite) as caught:
        detection_scores(made, data(), 28, 40, world, as_coco=False)
    return str(caught.value)


def test_all_ranks_stop_when_one_cannot_go_on(gloo: Pool) -> None:
    assert "another rank" in gloo.run(lone_failure, 2)[0]
