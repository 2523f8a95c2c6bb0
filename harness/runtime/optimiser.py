"""SGD as the official code sets it up: all parameters in one group, decayed alike."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from harness.recipe.schema import Optim


def sgd(parameters: Iterable[nn.Parameter], optim: Optim) -> torch.optim.SGD:
    """SGD without Nesterov; weight decay also on batch norm and biases (main_moco.py).

    Not fused: on a CPU torch 2.14's form goes on from a momentum that nobody wrote if a GradScaler
    skips the first step, and takes a gradient or momentum in another layout for the parameter's.
    """
    return torch.optim.SGD(
        parameters,
        lr=optim.lr,
        momentum=optim.sgd_momentum,
        weight_decay=optim.weight_decay,
        foreach=True,
    )


def set_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Use `lr` from the next step on, in every parameter group."""
    for group in optimiser.param_groups:
        group["lr"] = lr
