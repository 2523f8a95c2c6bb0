from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from harness.runtime.merged import Merged
from harness.runtime.moving_average import MovingAverage


@pytest.mark.parametrize("merged", [False, True])
def test_only_the_leaders_parameters_are_followed(merged: bool) -> None:
    """Also where others learn beside the leader's, before and behind them."""
    leader = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    follower = copy.deepcopy(leader).requires_grad_(False)
    other = [nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(7))]
    average = MovingAverage(follower, leader)
    if merged:
        average.merge(Merged([other[0], *leader.parameters(), other[1]]))
    start = [p.clone() for p in follower.parameters()]
    for parameter in leader.parameters():
        parameter.data.add_(1)
    average.step(0.75)
    for then, now in zip(start, follower.parameters(), strict=True):
        torch.testing.assert_close(now, then + 0.25)
    assert all(torch.equal(each, torch.ones_like(each)) for each in other)
    average.step(0.0)
    for one, two in zip(leader.parameters(), follower.parameters(), strict=True):
        assert torch.equal(one, two)
