"""mIoU against sets of pixels; over ranks; classes that occur nowhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harness.data.masks import IGNORED
from harness.errors import DataError
from harness.evaluate.miou import confusion, mean_iou
from harness.runtime.world import World

ALONE = World.alone(torch.device("cpu"))


def masks(seed: int, classes: int, ignored: float = 0.1) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    true = torch.randint(classes, (3, 7, 9), generator=draw, dtype=torch.uint8)
    other = torch.randint(classes, (3, 7, 9), generator=draw, dtype=torch.uint8)
    predicted = torch.where(torch.rand(3, 7, 9, generator=draw) < 0.6, true, other)
    true[torch.rand(3, 7, 9, generator=draw) < ignored] = IGNORED
    return predicted, true


def by_sets(predicted: Tensor, true: Tensor, classes: int) -> list[float | None]:
    """Each class's IoU from its sets of pixels."""
    pairs = [
        (n, p, t)
        for n, (p, t) in enumerate(
            zip(predicted.ravel().tolist(), true.ravel().tolist(), strict=True)
        )
        if t != 255
    ]
    found: list[float | None] = []
    for label in range(classes):
        a, b = {n for n, p, _ in pairs if p == label}, {n for n, _, t in pairs if t == label}
        found.append(100 * len(a & b) / len(a | b) if a | b else None)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_those_of_sets_of_pixels(seed: int) -> None:
    predicted, true = masks(seed, 5)
    counts = torch.stack([confusion(p, t, 5) for p, t in zip(predicted, true, strict=True)]).sum(0)
    found = mean_iou(counts, ALONE)
    ious = by_sets(predicted, true, 5)
    assert found.per_class == pytest.approx(ious)
    assert found.mean == pytest.approx(sum(x for x in ious if x is not None) / 5)
    counted = true != IGNORED
    assert found.accuracy == pytest.approx(
        100 * float((predicted[counted] == true[counted]).float().mean())
    )


def test_rows_are_true_and_columns_predicted() -> None:
    counts = confusion(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, 0, IGNORED]), 2)
    assert counts.dtype == torch.int64
    assert counts.tolist() == [[1, 2], [0, 0]]


def test_classes_that_occur_nowhere_are_left_out_and_said() -> None:
    """One that is only predicted counts as 0."""
    true = torch.tensor([0, 0, 2, IGNORED])
    predicted = torch.tensor([0, 3, 2, 1])
    found = mean_iou(confusion(predicted, true, 5), ALONE)
    assert found.per_class == (50.0, None, 100.0, 0.0, None)
    assert found.mean == 50.0
    remark = found.remark(["sky", "cat", "dog", "car", "bus"])
    assert "cat, bus" in remark
    assert "dog" not in remark
    assert mean_iou(torch.eye(2, dtype=torch.int64), ALONE).remark(["a", "b"]) == ""


def test_masks_without_a_pixel_that_counts_are_refused() -> None:
    true = torch.full((4, 4), IGNORED)
    with pytest.raises(DataError, match="255"):
        mean_iou(confusion(torch.zeros(4, 4), true, 3), ALONE)


@pytest.mark.parametrize(
    ("predicted", "true"), [([3], [0]), ([0], [3]), ([-1], [0]), ([0, 0], [0])]
)
def test_labels_and_shapes_out_of_range_are_refused(predicted: list[int], true: list[int]) -> None:
    with pytest.raises(ValueError, match=r"label|masks"):
        confusion(torch.tensor(predicted), torch.tensor(true), 3)


def of_ranks(world: World) -> Any:
    predicted, true = masks(7, 4)
    counts = torch.zeros(4, 4, dtype=torch.int64)
    for n in range(world.rank, len(true), world.size):
        counts += confusion(predicted[n], true[n], 4)
    return mean_iou(counts, world)


def test_ranks_have_the_scores_of_all_pixels(gloo: Any) -> None:
    alone = of_ranks(ALONE)
    assert gloo.run(of_ranks, 2) == [alone, alone]
