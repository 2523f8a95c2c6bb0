"""Parity with detectron2: losses, gradients, boxes and masks of the same weights and images."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.model.detection.boxes import Detections, rescaled
from harness.model.detection.mask_targets import pasted

from .reference import CASES, WATCHED, case, filled, inputs, summary, wanted

NAMES = [
    pytest.param(each.name, marks=[] if each.name.startswith("small") else [pytest.mark.slow])
    for each in CASES
]


@pytest.mark.parametrize("name", NAMES)
def test_losses_and_gradients_are_detectron2s(name: str) -> None:
    own, expected = case(name), wanted(name)
    network = filled(own)
    with torch.set_grad_enabled(own.gradients):
        losses = network(*inputs(own))
    found = {each: float(loss.detach()) for each, loss in losses.items()}
    assert found == pytest.approx(expected["losses"], abs=1e-5)
    assert min(found.values()) > 1e-3
    if own.gradients:
        sum(losses.values()).backward()
        gradients = {each: network.get_parameter(each).grad for each in WATCHED}
        norms = {each: float(x.norm()) for each, x in gradients.items() if x is not None}
        assert norms == pytest.approx(expected["gradients"], rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_detections_are_detectron2s(name: str) -> None:
    own, expected = case(name), wanted(name)["detections"]
    network = filled(own).eval()
    images = inputs(own)[0]
    for image, found, other in zip(images, network.detect(images), expected, strict=True):
        assert found.labels.tolist() == other["labels"]
        assert len(found.labels) > 3
        assert_close(found.scores, other["scores"], 1e-5)
        assert_close(found.boxes, other["boxes"], 1e-3)
        height, width = image.shape[1:]
        compare_at_twice_the_size(found, other, height, width)
        if found.masks is not None:
            assert_close(
                torch.tensor([summary(mask) for mask in found.masks]), other["masks"], 1e-5
            )


def compare_at_twice_the_size(
    found: Detections, other: dict[str, Any], height: int, width: int
) -> None:
    larger = rescaled(found, (height, width), (2 * height, 2 * width))
    assert_close(larger.boxes, other["original"], 1e-3)
    if larger.masks is not None:
        pixels = pasted(larger.masks, larger.boxes, (2 * height, 2 * width))
        # A pixel whose probability is one half may fall to either side.
        assert_close(pixels.flatten(1).sum(1), other["areas"], 1)


def assert_close(found: torch.Tensor, expected: Any, atol: float) -> None:
    wide = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(found.double(), wide, rtol=0, atol=atol)
