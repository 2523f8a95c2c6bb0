"""A module whose parameters are a moving average of another module's (v1 Eq. 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.runtime.merged import Merged


class MovingAverage:
    """Moves the parameters of `follower` towards those of `leader`; both have the same shapes."""

    def __init__(self, follower: nn.Module, leader: nn.Module) -> None:
        self.follower, self.leader = follower, leader
        self._following: list[Tensor] = list(follower.parameters())
        self._leading: list[Tensor] = list(leader.parameters())

    def merge(self, learning: Merged) -> None:
        """Use one tensor for all from now on: the follower's parameters get the layout of the
        leader's, which are in `learning`."""
        self._leading = [learning.part(self.leader.parameters())]
        self._following = [Merged(self.follower.parameters()).whole]

    @torch.no_grad()
    def step(self, momentum: float) -> None:
        """follower <- momentum follower + (1 - momentum) leader."""
        torch._foreach_lerp_(self._following, self._leading, 1 - momentum)
