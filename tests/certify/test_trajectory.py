from __future__ import annotations

import pytest
import torch
from gloo import Pool

from harness.certify.trajectory import INCOMPARABLE, TOLERANCE, in_float64, largest_difference
from harness.runtime.world import World

ALONE = World.alone(torch.device("cpu"))


def test_two_processes_make_what_one_makes(gloo: Pool) -> None:
    expected = in_float64(ALONE, "end_to_end", 2)
    assert len(set(expected["losses"].tolist())) == 30
    for found in gloo.run(in_float64, 2, "end_to_end", 2, timeout=120):
        assert largest_difference(expected, found) < TOLERANCE
    assert largest_difference(expected, in_float64(ALONE, "end_to_end", 3)) > TOLERANCE


@pytest.mark.parametrize(
    ("other", "far"),
    [
        ({"a": torch.tensor([2.0, 4.0])}, 0.0),
        ({"a": torch.tensor([2.0, 4.4])}, 0.1),
        ({"a": torch.tensor([2.0, torch.nan])}, INCOMPARABLE),
        ({"b": torch.tensor([2.0, 4.0])}, INCOMPARABLE),
    ],
)
def test_how_far_apart(other: dict[str, torch.Tensor], far: float) -> None:
    assert largest_difference({"a": torch.tensor([2.0, 4.0])}, other) == pytest.approx(far)
