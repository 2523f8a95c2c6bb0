"""InfoNCE: pick the positive key among the negatives (v1 Eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor


def info_nce(
    query: Tensor, positive: Tensor, negatives: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """The loss, and how many queries are nearer to their positive than to every negative.

    Args:
        query: (N, C), float32, L2-normalised; the gradient flows into it.
        positive: (N, C), the key of each query.
        negatives: (K, C), shared by all queries.
        temperature: tau of Eq. 1.

    Returns:
        loss: scalar, in nats, the mean over N of the (K+1)-way cross-entropy.
        hits: scalar int64; over N it is the pretext accuracy of v1 Fig. A.1. A tie is no hit, so a
            collapsed encoder scores zero.
    """
    pos = (query * positive).sum(1) / temperature  # (N,)
    neg = query @ negatives.T / temperature  # (N, K)
    # log(e^pos + sum e^neg) without joining the two into (N, K+1), which would copy N x K floats.
    loss = (torch.logaddexp(pos, neg.logsumexp(1)) - pos).mean()
    with torch.no_grad():
        hits = (pos > neg.amax(1)).sum()
    return loss, hits
