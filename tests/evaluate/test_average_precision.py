"""Average precision: values computed by hand, and a second, plain implementation."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from harness.evaluate.average_precision import area, eleven_points


def points(scores: Tensor, shown: Tensor) -> list[tuple[Fraction, Fraction]]:
    """(recall, precision) with every score as threshold."""
    pairs = list(zip(scores.tolist(), shown.tolist(), strict=True))
    total = sum(there for _, there in pairs)
    found = []
    for threshold in sorted({score for score, _ in pairs}, reverse=True):
        taken = [there for score, there in pairs if score >= threshold]
        found.append((Fraction(sum(taken), total), Fraction(sum(taken), len(taken))))
    return found


def plain_eleven(scores: Tensor, shown: Tensor) -> float:
    curve, total = points(scores, shown), Fraction(0)
    for n in range(11):
        total += max(p for r, p in curve if r >= Fraction(n, 10))
    return float(total / 11)


def plain_area(scores: Tensor, shown: Tensor) -> float:
    curve, total, before = points(scores, shown), Fraction(0), Fraction(0)
    for n, (recall, _) in enumerate(curve):
        total += (recall - before) * max(p for _, p in curve[n:])
        before = recall
    return float(total)


def ranking(text: str) -> tuple[Tensor, Tensor]:
    """ "+-+": the first and third of three images show the class, the first has the best score."""
    return -torch.arange(len(text)).double(), torch.tensor([each == "+" for each in text])


@pytest.mark.parametrize(
    ("ranked", "eleven", "whole"),
    [
        ("++--", 1.0, 1.0),
        # recall 1/2 with precision 1 (0 to 0.5: six points), recall 1 with precision 2/3 (five)
        ("+-+--", (6 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2),
        # one positive, fourth of four: precision 1/4 at every recall
        ("---+", 1 / 4, 1 / 4),
        # precision is highest at the end: 1/2 of recall 1 replaces 1/3 before
        ("--+++-", 3 / 5, 3 / 5),
        # recalls 0.1 to 1 in tenths: the first three are right, then seven wrong, then seven right
        ("+++-------+++++++", (4 + 7 * 10 / 17) / 11, (3 + 7 * 10 / 17) / 10),
    ],
)
def test_values_by_hand(ranked: str, eleven: float, whole: float) -> None:
    assert eleven_points(*ranking(ranked)) == pytest.approx(eleven, abs=1e-12)
    assert area(*ranking(ranked)) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("ties", [1, 4, 40])
@pytest.mark.parametrize("seed", range(6))
def test_another_implementation_agrees(seed: int, ties: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    shown = torch.rand(90, generator=draw) < 0.1 + 0.15 * seed
    shown[0] = True
    scores = torch.randn(90, generator=draw) + shown
    scores = (scores * 100 / ties).round()
    assert eleven_points(scores, shown) == pytest.approx(plain_eleven(scores, shown), abs=1e-12)
    assert area(scores, shown) == pytest.approx(plain_area(scores, shown), abs=1e-12)


def test_images_with_equal_scores_have_no_order() -> None:
    shown = torch.tensor([True, False, False, False])
    same = torch.zeros(4)
    for turned in (shown, shown.flip(0)):
        assert eleven_points(same, turned) == area(same, turned) == 0.25


def test_the_area_is_not_below_the_step_function_of_scikit_learn() -> None:
    """Both are areas; VOC's makes the precision monotone first."""
    draw = torch.Generator().manual_seed(1)
    shown = torch.rand(200, generator=draw) < 0.3
    scores = torch.randn(200, generator=draw) + shown
    steps = average_precision_score(shown.numpy(), scores.numpy())
    assert steps < area(scores, shown) < steps + 0.05
