"""SGD as in the official code: one group of all parameters, with the same weight decay."""

from __future__ import annotations

import torch

from harness.runtime.merged import Merged
from harness.runtime.optimiser import MergedOptimiser
from harness.runtime.sgd.config import SgdOptim


class Sgd(MergedOptimiser, torch.optim.SGD):
    """SGD without Nesterov; weight decay also on batch norm and biases (main_moco.py).

    Not fused: on a CPU, torch 2.14's fused SGD uses uninitialised momentum if a GradScaler skips
    the first step.
    """

    def __init__(self, merged: Merged, optim: SgdOptim) -> None:
        super().__init__(
            merged,
            lr=optim.lr,
            momentum=optim.sgd_momentum,
            weight_decay=optim.weight_decay,
            foreach=False,
        )
