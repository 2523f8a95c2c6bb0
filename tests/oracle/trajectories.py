"""What the baselines' oracles are compared by: encoders of one number, and trajectories."""

from __future__ import annotations

import torch
from torch import Tensor, nn

TEMPERATURE, LR, MU, DECAY = 0.2, 0.1, 0.9, 0.05
MOMENTUM = 0.9  # not a half, so that swapped shares show
X, Y, Z = torch.eye(3, dtype=torch.float64)

Trajectory = dict[str, Tensor]
"""The losses, and the tensors at the end."""


class Angle(nn.Module):
    """Maps (n, 3, H, W) to unit vectors of the plane: pixel 0's angle plus a learnt one of 0."""

    def __init__(self) -> None:
        super().__init__()
        self.angle = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        angle = x[:, 0, 0, 0] + self.angle
        return torch.stack([angle.cos(), angle.sin()], dim=1)


def turned(*angles: float) -> Tensor:
    return torch.tensor(angles, dtype=torch.float64).reshape(-1, 1, 1, 1).expand(-1, 3, 1, 1)


def trajectory(losses: list[float], modules: dict[str, nn.Module], **rest: Tensor) -> Trajectory:
    out = {"loss": torch.tensor(losses, dtype=torch.float64), **rest}
    for side, module in modules.items():
        state = module.state_dict()
        for part, wanted in ((side, False), (side + " statistics", True)):
            values = [v for n, v in state.items() if ("running" in n or "tracked" in n) == wanted]
            out[part] = torch.cat([v.double().flatten() for v in values])
    return out


def apart(a: Trajectory, b: Trajectory) -> dict[str, float]:
    """The largest difference in each part."""
    assert a.keys() == b.keys()
    return {part: float((a[part] - b[part]).abs().max()) for part in a}


def optimiser_of(*groups: list[nn.Parameter]) -> torch.optim.SGD:
    every = [parameter for group in groups for parameter in group]
    return torch.optim.SGD(every, lr=LR, momentum=MU, weight_decay=DECAY)
