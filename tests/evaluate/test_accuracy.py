"""Top-1, and the mean of the classes' accuracies, against plain counting."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.data.datasets import DataSet
from harness.data.images import Stack
from harness.evaluate.accuracy import accuracies

NONE = Stack(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
TOP1 = DataSet("any", NONE, NONE, NONE, 4, (0, 0, 0), (1, 1, 1), "")
PER_CLASS = replace(TOP1, metric="mean_per_class")
LABELS = torch.tensor([0, 0, 0, 1, 3, 3])  # no image of class 2
RIGHT = torch.tensor([[1, 1, 1, 0, 1, 0], [0, 0, 0, 1, 0, 0]], dtype=torch.bool)


def test_each_class_counts_the_same() -> None:
    found = accuracies(RIGHT, LABELS, PER_CLASS)
    assert found["top1"] == pytest.approx([100 * 4 / 6, 100 / 6])
    assert found["mean_per_class"] == pytest.approx([100 * (1 + 0 + 0.5) / 3, 100 / 3])


def test_only_sets_that_are_published_with_it_have_it() -> None:
    assert accuracies(RIGHT, LABELS, TOP1).keys() == {"top1"}


def test_counts_of_several_processes_are_added() -> None:
    """Two processes with half of the images each, as if each sum were of both."""
    sums: list[torch.Tensor] = []

    def first(counts: torch.Tensor) -> torch.Tensor:
        sums.append(counts)
        return counts

    accuracies(RIGHT[:, :3], LABELS[:3], PER_CLASS, first)
    waiting = iter(sums)
    found = accuracies(RIGHT[:, 3:], LABELS[3:], PER_CLASS, lambda mine: mine + next(waiting))
    assert found == accuracies(RIGHT, LABELS, PER_CLASS)
