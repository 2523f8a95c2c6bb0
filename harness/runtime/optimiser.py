"""SGD as the official code sets it up: all parameters in one group, decayed alike."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from harness.recipe.schema import Optim


def sgd(
    parameters: Iterable[nn.Parameter], optim: Optim, *, scaled: bool = False
) -> torch.optim.SGD:
    """SGD without Nesterov; weight decay also on batch norm and biases (main_moco.py).

    Args:
        scaled: a GradScaler may skip steps. If it skips the first, the fused form of torch 2.14
            goes on from a momentum that nobody wrote.
    """
    held = list(parameters)
    fused = not scaled and all(p.device.type == "cpu" for p in held)
    return torch.optim.SGD(
        held,
        lr=optim.lr,
        momentum=optim.sgd_momentum,
        weight_decay=optim.weight_decay,
        foreach=not fused,
        fused=fused,
    )


def set_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Use `lr` from the next step on, in every parameter group."""
    for group in optimiser.param_groups:
        group["lr"] = lr
