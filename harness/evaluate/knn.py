"""Weighted k-nearest-neighbour classification (InstDisc, arXiv:1805.01978, Sec. 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

ELEMENTS = 1 << 24
"""Similarities held at a time: the memory is bounded whatever the sizes."""


def knn_accuracy(
    queries: Tensor,
    query_labels: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    *,
    k: Sequence[int],
    temperature: float,
    classes: int,
) -> dict[int, float]:
    """Top-1 accuracy in percent for every k, from one pass; see `knn_hits`."""
    hits = knn_hits(
        queries, query_labels, bank, bank_labels, k=k, temperature=temperature, classes=classes
    )
    return dict(zip(k, (100 * hits / len(queries)).tolist(), strict=True))


@torch.no_grad()
def knn_hits(
    queries: Tensor,
    query_labels: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    *,
    k: Sequence[int],
    temperature: float,
    classes: int,
) -> Tensor:
    """Correctly classified queries for every k, int64 (len(k),), from one pass.

    Args:
        queries, bank: features (n, d) and (m, d), float32; normalised here.
        query_labels, bank_labels: int64 (n,) and (m,).
        k: numbers of neighbours, each at most m.
        temperature: a neighbour of cosine similarity s votes with exp(s / temperature).

    Raises:
        ValueError: a k exceeds the bank.
    """
    if max(k) > len(bank):
        raise ValueError(f"k = {max(k)}, but the bank has {len(bank)} entries")
    queries, bank = F.normalize(queries, dim=1), F.normalize(bank, dim=1)
    bank_labels = bank_labels.to(bank.device)
    query_labels = query_labels.to(bank.device)
    correct = torch.zeros(len(k), dtype=torch.int64, device=bank.device)
    chunk = max(1, ELEMENTS // len(bank))
    for rows, labels in zip(
        torch.split(queries, chunk), torch.split(query_labels, chunk), strict=True
    ):
        similarity, nearest = (rows @ bank.T).topk(max(k), dim=1)
        # Relative to the nearest neighbour, which changes no vote's order and overflows nowhere.
        weight = ((similarity - similarity[:, :1]) / temperature).exp()
        voted = bank_labels[nearest]
        for n, kk in enumerate(k):
            votes = weight.new_zeros(len(rows), classes)
            votes.scatter_add_(1, voted[:, :kk], weight[:, :kk])
            correct[n] += (votes.argmax(1) == labels).sum()
    return correct
