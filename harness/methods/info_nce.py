"""InfoNCE: pick the positive key among the negatives (v1 Eq. 1)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def info_nce(
    query: Tensor, positive: Tensor, negatives: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """The loss, and how many queries are closer to their positive than to every negative.

    Args:
        query: (N, C), float32, L2-normalised; the only input that receives a gradient.
        positive: (N, C), the key of each query.
        negatives: (K, C), shared by all queries; may change before the backward pass.
        temperature: tau of Eq. 1.

    Returns:
        loss: scalar, in nats, the mean over N of the (K+1)-way cross-entropy.
        correct: scalar int64; divided by N it is the pretext accuracy of v1 Fig. A.1. A tie does
            not count, so a collapsed encoder scores zero.
    """
    found: tuple[Tensor, Tensor] = _InfoNCE.apply(query, positive, negatives, temperature)
    return found


class _InfoNCE(torch.autograd.Function):
    """Computes the gradient together with the loss, so that the logits exist only once: (N, K)
    floats are 64 MiB at the official K and batch. None are kept, or joined to (N, K+1)."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, positive: Tensor, negatives: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        scaled = query / temperature
        pos = (scaled * positive).sum(1)  # (N,)
        neg = scaled @ negatives.T  # (N, K)
        correct = (pos > neg.amax(1)).sum()
        behind = neg.logsumexp(1) - pos
        losses = F.softplus(behind)  # -log(e^pos / (e^pos + sum e^neg)), exact near 0 too
        if ctx.needs_input_grad[0]:
            total = (pos + losses).unsqueeze(1)  # log(e^pos + sum e^neg)
            chosen = neg.sub_(total).exp_() @ negatives  # softmax-weighted, (N, C)
            missed = behind.sigmoid_().unsqueeze(1)  # 1 less the softmax of the positive
            chosen.addcmul_(missed, positive, value=-1)
            ctx.save_for_backward(chosen.div_(temperature * len(query)))
        ctx.mark_non_differentiable(correct)
        return losses.mean(), correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (by_query,) = ctx.saved_tensors
        return by_query * grads[0], None, None, None
