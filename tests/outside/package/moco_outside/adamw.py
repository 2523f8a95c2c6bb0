"""AdamW as torch has it, over merged parameters."""

from __future__ import annotations

import torch

from harness.runtime.merged import Merged
from harness.runtime.optimiser import MergedOptimiser
from moco_outside.config import AdamWOptim


class AdamW(MergedOptimiser, torch.optim.AdamW):
    def __init__(self, merged: Merged, optim: AdamWOptim) -> None:
        super().__init__(
            merged, lr=optim.lr, betas=optim.betas, weight_decay=optim.decay, foreach=False
        )
