"""Accuracies from which test images were recognised: of all images, or the mean of the classes'."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from harness.data.datasets import DataSet


def accuracies(
    right: Tensor,
    labels: Tensor,
    data: DataSet,
    total: Callable[[Tensor], Tensor] = lambda counts: counts,
) -> dict[str, list[float]]:
    """{"top1": percent of each classifier}, and "mean_per_class" on data that is published with it:
    the mean of the accuracies of the classes that are tested.

    Args:
        right: bool (classifiers, n), whether each of the test images was recognised.
        labels: int64 (n,), their classes.
        total: adds up the counts of the processes, if each has only some of the images.
    """
    labels = labels.to(right.device)
    known = total(_by_class(right, labels, data.classes))
    there = total(_by_class(torch.ones_like(right[:1]), labels, data.classes))
    images = int(there.sum())
    found = {"top1": [100 * n / images for n in known.sum(1).tolist()]}
    if data.metric != "top1":
        tested = there[0] > 0
        shares = known[:, tested].double() / there[:, tested]
        found[data.metric] = (100 * shares.mean(1)).tolist()
    return found


def _by_class(right: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Number of true entries of each class, int64 (classifiers, classes)."""
    counts = torch.zeros(len(right), classes, dtype=torch.int64, device=right.device)
    return counts.index_add_(1, labels, right.to(torch.int64))
