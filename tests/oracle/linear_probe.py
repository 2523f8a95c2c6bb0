"""Softmax regression on frozen features (v1 Sec. 4.1; code: main_lincls.py), gradient by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .schedule import steps


@dataclass(frozen=True)
class ProbeResult:
    """weight (C, D) and bias (C,) after the last step, and each step's mean loss before it."""

    weight: Tensor
    bias: Tensor
    losses: list[float]


def linear_probe(
    features: Tensor | Sequence[Tensor],
    labels: Tensor,
    weight: Tensor,
    batches: Sequence[Sequence[Tensor]],
    *,
    lr: float,
    sgd_momentum: float = 0.9,
    weight_decay: float = 0.0,
    drops: Sequence[int] = (),
    factor: float = 0.1,
) -> ProbeResult:
    """Train W (from the `weight` given) and b (from zero) by SGD on the cross-entropy.

    features (n, D), the same in each epoch or one tensor per epoch, are taken as they are: not
    normalised (code: the pooled features go straight into fc). batches[epoch] lists the index
    tensors of that epoch's steps in order. Penalty and momentum act on W and b alike.
    """
    w = weight.detach().clone()
    b = torch.zeros(len(w), dtype=w.dtype)
    velocity_w: Tensor | None = None
    velocity_b: Tensor | None = None
    losses: list[float] = []
    for epoch, order in enumerate(batches):
        rate = steps(lr, epoch, drops, factor)
        rows = features if isinstance(features, Tensor) else features[epoch]
        for indices in order:
            gradient_w = torch.zeros_like(w)
            gradient_b = torch.zeros_like(b)
            total = 0.0
            for index in indices.tolist():
                x, label = rows[index], int(labels[index])
                logits = w @ x + b
                shifted = logits - logits.max()
                probability = shifted.exp() / shifted.exp().sum()
                total += float(shifted.exp().sum().log() - shifted[label])
                error = probability.clone()  # d loss / d logits = p - onehot(label)
                error[label] -= 1.0
                gradient_w += torch.outer(error, x) / len(indices)
                gradient_b += error / len(indices)
            losses.append(total / len(indices))
            gradient_w = gradient_w + weight_decay * w
            gradient_b = gradient_b + weight_decay * b
            if velocity_w is not None and velocity_b is not None:
                gradient_w = sgd_momentum * velocity_w + gradient_w
                gradient_b = sgd_momentum * velocity_b + gradient_b
            velocity_w, velocity_b = gradient_w, gradient_b
            w = w - rate * velocity_w
            b = b - rate * velocity_b
    return ProbeResult(w, b, losses)
