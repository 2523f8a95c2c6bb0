"""Anchors, boxes, matching, sampling and RoIAlign, each on cases that can be followed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.ops import roi_align

from harness.model.detection.anchors import anchors
from harness.model.detection.box_head import BoxPredictor, RoISettings
from harness.model.detection.boxes import (
    LARGEST,
    Detections,
    Target,
    clipped,
    decoded,
    encoded,
    rescaled,
)
from harness.model.detection.roi_align import pooled, spread
from harness.model.detection.sampling import IGNORED, matched, sampled

ONES = (1.0, 1.0, 1.0, 1.0)
TENS = (10.0, 10.0, 5.0, 5.0)


def test_anchors_are_not_rounded_and_begin_at_the_corner() -> None:
    found = anchors((32.0, 64.0), 16, 2, 3, torch.zeros(1, dtype=torch.float64))
    assert found.shape == (2 * 3 * 6, 4)
    half = 32 / math.sqrt(2)
    wide = torch.tensor([-32 / math.sqrt(0.5) / 2, -half / 2, 32 / math.sqrt(0.5) / 2, half / 2])
    torch.testing.assert_close(found[0], wide.double(), rtol=0, atol=1e-5)
    assert found[1].tolist() == [-16, -16, 16, 16]  # sizes before ratios: the next is 64's
    assert found[4].tolist() == [-32, -32, 32, 32]
    assert found[7].tolist() == [0, -16, 32, 16]  # columns before rows
    assert found[3 * 6 + 1].tolist() == [-16, 0, 16, 32]


def test_a_box_is_decoded_from_what_it_is_encoded_as() -> None:
    box = torch.tensor([[3.0, 4.0, 11.0, 9.0]])
    anchor = torch.tensor([[2.0, 2.0, 10.0, 12.0]])
    delta = encoded(box, anchor, TENS)
    wanted = [10 * 1 / 8, 10 * -0.5 / 10, 0, 5 * math.log(0.5)]
    assert delta[0].tolist() == pytest.approx(wanted, abs=1e-6)
    torch.testing.assert_close(decoded(delta, anchor, TENS), box)


def test_predicted_sizes_are_clipped() -> None:
    anchor = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
    found = decoded(torch.tensor([[0.0, 0.0, 50.0, 99.0]]), anchor, ONES)[0]
    assert float(found[2] - found[0]) == pytest.approx(1000)
    assert pytest.approx(math.log(62.5)) == LARGEST


def test_boxes_are_cut_at_the_image_and_rescaled() -> None:
    boxes = torch.tensor([[-3.0, 2.0, 50.0, 70.0], [35.0, 0.0, 45.0, 10.0]])
    assert clipped(boxes, (60, 40)).tolist() == [[0, 2, 40, 60], [35, 0, 40, 10]]
    labels, scores = torch.tensor([1, 2]), torch.tensor([0.9, 0.5])
    found = rescaled(Detections(boxes, labels, scores), (60, 30), (120, 90))
    assert found.boxes.tolist() == [[0, 4, 90, 120]]  # the other is outside
    assert found.labels.tolist() == [1]


def test_each_candidate_gets_the_box_it_overlaps_most() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]])
    candidates = torch.tensor(
        [
            [0.0, 0.0, 10.0, 9.0],  # .9 of the first
            [0.0, 0.0, 10.0, 5.0],  # .5: between the thresholds
            [21.0, 0.0, 31.0, 4.0],  # 36 / 104 of the second, its best
            [50.0, 0.0, 60.0, 10.0],
        ]
    )
    which, verdict = matched(boxes, candidates, 0.3, 0.7)
    assert which.tolist()[:3] == [0, 0, 1]
    assert verdict.tolist() == [1, IGNORED, IGNORED, 0]
    assert matched(boxes, candidates, 0.3, 0.7, best_too=True)[1].tolist() == [1, IGNORED, 1, 0]
    assert matched(boxes[:0], candidates, 0.3, 0.7, best_too=True)[1].tolist() == [0, 0, 0, 0]


def test_samples_follow_the_key_alone() -> None:
    positive = torch.arange(1000) % 4 == 0
    draws = [sampled(positive, ~positive, 64, 0.25, key) for key in (5, 5, 6)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert int((draws[0] & positive).sum()) == 16
    assert int(draws[0].sum()) == 64


def test_too_few_positive_candidates_are_made_up_by_negative_ones() -> None:
    positive = torch.arange(100) < 3
    negative = torch.arange(100) >= 50
    found = sampled(positive, negative, 40, 0.5, 1)
    assert int((found & positive).sum()) == 3
    assert int((found & negative).sum()) == 37
    assert int(sampled(positive, negative, 80, 0.5, 1).sum()) == 53


def test_every_candidate_is_drawn_equally_often() -> None:
    everything = torch.ones(20, dtype=torch.bool)
    total = torch.stack([sampled(~everything, everything, 5, 0.5, k) for k in range(400)]).sum(0)
    assert int(total.sum()) == 2000
    assert 60 < int(total.min()) <= int(total.max()) < 140


def test_the_targets_own_boxes_are_proposals() -> None:
    predictor = BoxPredictor(4, 3, RoISettings(sample=8))
    target = Target(torch.tensor([[0.0, 0.0, 8.0, 8.0]]), torch.tensor([2]))
    drawn = predictor.sample(torch.tensor([[20.0, 20.0, 30.0, 30.0]]), target, 1)
    assert drawn.boxes.tolist() == [[20, 20, 30, 30], [0, 0, 8, 8]]
    assert drawn.labels.tolist() == [3, 2]
    assert drawn.positive.tolist() == [False, True]


def test_roi_align_is_aligned_and_reads_as_many_points_as_pixels() -> None:
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    levels = [torch.stack((x, y))[None] + 0.5]  # each cell holds its centre, in cells
    box = torch.tensor([[16.0, 32.0, 80.0, 96.0]])
    found = pooled(levels, [8], [box], 4)[0]
    centres = torch.tensor([3.0, 5.0, 7.0, 9.0])
    torch.testing.assert_close(found[0], centres.expand(4, 4))
    torch.testing.assert_close(found[1], (centres + 2)[:, None].expand(4, 4))
    noise = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    mean = pooled([noise], [8], [torch.tensor([[0.0, 0.0, 128.0, 128.0]])], 1)
    torch.testing.assert_close(mean.squeeze(), noise.mean())


@pytest.mark.parametrize(
    ("side", "level"), [(20, 0), (111, 0), (113, 1), (224, 2), (447, 2), (449, 3), (3000, 3)]
)
def test_a_box_is_read_from_the_level_of_its_size(side: float, level: int) -> None:
    strides = [4, 8, 16, 32]
    maps = [torch.full((1, 1, 3008 // s, 3008 // s), float(n)) for n, s in enumerate(strides)]
    found = pooled(maps, strides, [torch.tensor([[0.0, 0.0, side, side]])], 2)
    torch.testing.assert_close(found, torch.full((1, 1, 2, 2), float(level)))


@pytest.mark.parametrize("side", [3, 7])
def test_the_gradient_by_products_is_that_of_torchvisions_operator(side: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 13, 17, generator=generator, dtype=torch.float64, requires_grad=True)
    corner = torch.rand(40, 2, generator=generator, dtype=torch.float64) * 150 - 20
    extent = torch.rand(40, 2, generator=generator, dtype=torch.float64) ** 2 * 120
    extent[0] = 0  # as empty boxes that are detected
    image = torch.arange(40, dtype=torch.float64)[:, None] % 2
    rows = torch.cat((image, corner, corner + extent), 1)
    factors = torch.randn(40, 3, side, side, generator=generator, dtype=torch.float64)
    roi_align(x, rows, side, 1 / 8, 0, aligned=True).backward(factors)
    assert x.grad is not None
    torch.testing.assert_close(spread(factors, rows, 1 / 8, x.shape), x.grad)
    assert float(x.grad.abs().max()) > 0.1
    own = x.detach().clone().requires_grad_(True)
    boxes = [rows[image[:, 0] == n, 1:] for n in (0, 1)]
    order = torch.cat([(image[:, 0] == n).nonzero()[:, 0] for n in (0, 1)])
    pooled([own], [8], boxes, side).backward(factors[order])
    torch.testing.assert_close(own.grad, x.grad)
