"""The floor of a step: the work that no implementation of the same experiment can avoid."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from harness.model.encoder import build
from harness.model.grouped_norm import GroupedBatchNorm2d, forget_running_statistics
from harness.recipe.schema import Recipe
from harness.runtime.precision import autocast, widen
from harness.runtime.world import World


class Floor:
    """Query forward and backward, key forward, on data in place, at the recipe's precision.

    The encoders are the recipe's, in channels_last, but normalise over all images at once: groups
    are part of what is compared with the floor. Nothing is updated; the loss is a sum. The memory
    bank has one encoder, so no key forward; a symmetric loss has the views in both orders.

    Args:
        images: this process's images per step; None: its share of the recipe's batch.
    """

    def __init__(self, recipe: Recipe, world: World, images: int | None = None) -> None:
        self.precision = recipe.precision
        self.query = build(recipe.model, recipe.seed)
        for module in self.query.modules():
            if isinstance(module, GroupedBatchNorm2d):
                module.group = images or recipe.optim.batch // world.size
        self.query.to(world.device).to(memory_format=torch.channels_last)
        self.key = None if recipe.contrast.keys == "none" else copy.deepcopy(self.query)
        self.learns = recipe.contrast.keys == "learn"
        self.symmetric = getattr(recipe.contrast, "symmetric", False)
        if self.key is not None and not self.learns:
            forget_running_statistics(self.key)

    def step(self, x1: Tensor, x2: Tensor) -> None:
        """One step on two views (n, 3, H, W) that are on the device."""
        for encoder in (self.query, self.key):
            for parameter in encoder.parameters() if encoder is not None else ():
                parameter.grad = None
        loss = self._loss(x1, x2)
        if self.symmetric:
            loss = loss + self._loss(x2, x1)
        torch.autograd.backward(loss)

    def _loss(self, x1: Tensor, x2: Tensor) -> Tensor:
        with autocast(self.precision, x1.device):
            loss = widen(self.query(x1)).sum()
        if self.key is not None:
            with torch.set_grad_enabled(self.learns), autocast(self.precision, x2.device):
                other = self.key(x2)
            if self.learns:
                loss = loss + widen(other).sum()
        return loss
