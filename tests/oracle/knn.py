"""Weighted k-nearest-neighbour classification by brute force (InstDisc Sec. 3.4; demo)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class KnnResult:
    """accuracy in percent; predictions (Q,); votes (Q, C) float64.

    boundary (Q,) is how much more similar the k-th neighbour is than the next one: where it or the
    lead of the winning vote is within rounding, another arithmetic may predict another class.
    """

    accuracy: float
    predictions: Tensor
    votes: Tensor
    boundary: Tensor


def knn(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    query_labels: Tensor,
    *,
    k: int,
    temperature: float,
) -> KnnResult:
    """Each query takes the class with the largest sum of exp(s / T) over its k nearest keys.

    bank (n, D) and queries (Q, D) are features of any norm; s is the cosine similarity. Equal
    similarities rank by the lower index in the bank, equal votes go to the lower class.
    """
    if not 1 <= k <= len(bank):
        raise ValueError(f"{k} neighbours of {len(bank)}")
    classes = int(max(bank_labels.max(), query_labels.max())) + 1
    labels = [int(label) for label in bank_labels]
    units = torch.stack([_unit(row) for row in bank])
    predictions: list[int] = []
    votes: list[list[float]] = []
    boundary: list[float] = []
    for query in queries:
        similarity: list[float] = (units * _unit(query)).sum(dim=1).tolist()
        nearest = sorted(range(len(labels)), key=lambda i: (-similarity[i], i))
        cast: list[list[float]] = [[] for _ in range(classes)]
        for i in nearest[:k]:
            cast[labels[i]].append(math.exp(similarity[i] / temperature))
        sums = [math.fsum(each) for each in cast]  # fsum: whatever the order
        predictions.append(sums.index(max(sums)))
        votes.append(sums)
        last = similarity[nearest[k - 1]]
        boundary.append(last - similarity[nearest[k]] if k < len(nearest) else math.inf)
    right = sum(
        predicted == int(label) for predicted, label in zip(predictions, query_labels, strict=True)
    )
    return KnnResult(
        accuracy=100.0 * right / len(predictions),
        predictions=torch.tensor(predictions),
        votes=torch.tensor(votes, dtype=torch.float64),
        boundary=torch.tensor(boundary, dtype=torch.float64),
    )


def _unit(row: Tensor) -> Tensor:
    wide = row.to(torch.float64)
    return wide / max(math.sqrt(float((wide * wide).sum())), 1e-12)
