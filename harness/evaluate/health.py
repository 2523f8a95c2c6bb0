"""Health of features without labels: rank, spread, alignment and uniformity, as pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-7
"""Added to each normalised singular value in `rankme`, as in the paper."""

SPREAD = 0.05
"""Share of 1/sqrt(d) below which the embedding's deviation means a collapse. A random ResNet-50 has
0.07 and a random miniature 0.15."""

RANK = 1.5
"""Effective rank below which the features lie nearly on one line, a collapse too."""

SPREAD_TOGETHER, RANK_TOGETHER = 0.2, 3.0
"""Limits that mean a collapse if both are missed at once."""


def rankme(features: Tensor) -> float:
    """RankMe (Garrido et al. 2023, arXiv:2210.02885, Eq. 1): exp of the entropy of the singular
    values over their sum, plus EPSILON. The features are not centred.

    From 1 (all features on one line) to about the smaller of n and d; so values are comparable only
    between networks of one architecture, on equally many images.

    Args:
        features: (n, d), any floating dtype, finite; in practice the backbone's.
    """
    x = features.double()
    x = x / x.abs().amax().clamp(min=torch.finfo(torch.float64).tiny)  # squares must not overflow
    # The eigenvalues of the smaller Gram matrix are the squared singular values. In float64 what is
    # lost lies below 1e-8 of the largest, ten times less than EPSILON.
    gram = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    p = singular / singular.sum().clamp(min=torch.finfo(torch.float64).tiny) + EPSILON
    return float(torch.exp(-(p * p.log()).sum()))


def deviation(embeddings: Tensor) -> float:
    """Mean over dimensions of the standard deviation of L2-normalised embeddings (SimSiam,
    arXiv:2011.10566, Sec. 4.1). About 1 / sqrt(d) where they are spread over the sphere, 0 where
    all are the same.

    Args:
        embeddings: (n, d), n at least 2.
    """
    return float(F.normalize(embeddings.double(), dim=1).std(0).mean())


def alignment(one: Tensor, other: Tensor) -> float:
    """Mean squared distance of two views' L2-normalised embeddings (Wang and Isola,
    arXiv:2005.10242, alpha = 2): 0 if the views are the same, 4 if they are opposite.

    Args:
        one, other: (n, d); row i of both is of image i.
    """
    between = F.normalize(one.double(), dim=1) - F.normalize(other.double(), dim=1)
    return float(between.square().sum(1).mean())


def uniformity(embeddings: Tensor) -> float:
    """Log of the mean of exp(-2 squared distance) over all pairs of L2-normalised embeddings (Wang
    and Isola, t = 2): 0 if all are the same; near -4 where they are spread over the sphere.

    Args:
        embeddings: (n, d), n at least 2.
    """
    x = F.normalize(embeddings.double(), dim=1)
    length = x.square().sum(1)  # 1, or 0 for an embedding of zeros
    distance = (length[:, None] + length - 2 * x @ x.T).clamp(min=0)
    n = len(x)
    total = (-2 * distance).exp().sum() - n  # without each embedding's distance to itself
    return min(0.0, float((total.clamp(min=0) / (n * (n - 1))).log()))


def mean_cosine(queries: Tensor, keys: Tensor, *, paired: bool = False) -> float:
    """Mean cosine similarity of queries (n, d) and keys (k, d), unit rows, over all pairs.

    Args:
        paired: key i is the positive of query i (n = k); that pair is left out.
    """
    # sums first: n k products would be as many as there are images times keys
    total = queries.sum(0, dtype=torch.float64) @ keys.sum(0, dtype=torch.float64)
    pairs = len(queries) * len(keys)
    if paired:
        total, pairs = total - (queries.double() * keys.double()).sum(), pairs - len(queries)
    return max(-1.0, min(1.0, float(total / pairs)))


def collapse(values: Mapping[str, float], dim: int) -> str:
    """Why the features count as collapsed, in words; "" if they do not. docs/health.md has what the
    limits were measured on.

    Args:
        values: at least health/deviation and health/rankme.
        dim: d of the embedding.
    """
    spread = values["health/deviation"] * math.sqrt(dim)
    rank = values["health/rankme"]
    both = spread < SPREAD_TOGETHER and rank < RANK_TOGETHER
    if spread >= SPREAD and rank >= RANK and not both:
        return ""
    return (
        f"the embedding's deviation is {spread:.3f} of 1/sqrt(d), the features' effective rank "
        f"{rank:.2f}"
    )
