"""SGD as the official code sets it up: all parameters in one group, decayed alike."""

from __future__ import annotations

import torch

from harness.runtime.merged import Merged
from harness.runtime.optimiser import MergedOptimiser
from harness.runtime.sgd.config import SgdOptim


class Sgd(MergedOptimiser, torch.optim.SGD):
    """SGD without Nesterov; weight decay also on batch norm and biases (main_moco.py).

    Not fused: on a CPU torch 2.14's form goes on from a momentum that nobody wrote if a GradScaler
    skips the first step.
    """

    def __init__(self, merged: Merged, optim: SgdOptim) -> None:
        super().__init__(
            merged,
            lr=optim.lr,
            momentum=optim.sgd_momentum,
            weight_decay=optim.weight_decay,
            foreach=False,
        )
