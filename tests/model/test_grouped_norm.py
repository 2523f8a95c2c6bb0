"""Grouped batch norm against ordinary batch norm run on each group."""

import pytest
import torch
from torch import nn

from harness.model import grouped_norm
from harness.model.grouped_norm import GroupedBatchNorm2d, forget_running_statistics


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_each_group_is_normalised_by_itself(memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    x = torch.randn(12, 5, 3, 3, dtype=torch.float64).contiguous(memory_format=memory_format)
    x.requires_grad_()
    grouped = GroupedBatchNorm2d(5, group=4).double()
    ordinary = nn.BatchNorm2d(5).double()
    y = grouped(x)
    expected = torch.cat([ordinary(part) for part in torch.split(x, 4)])
    torch.testing.assert_close(y, expected)
    weights = torch.randn_like(y)
    ours = torch.autograd.grad((y * weights).sum(), [x, grouped.weight, grouped.bias])
    theirs = torch.autograd.grad((expected * weights).sum(), [x, ordinary.weight, ordinary.bias])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_the_first_groups_statistics_are_kept() -> None:
    grouped, ordinary = GroupedBatchNorm2d(3, group=4), nn.BatchNorm2d(3)
    for _ in range(3):
        x = torch.randn(8, 3, 4, 4)
        grouped(x)
        ordinary(x[:4])
    torch.testing.assert_close(grouped.running_mean, ordinary.running_mean)
    torch.testing.assert_close(grouped.running_var, ordinary.running_var)
    assert grouped.num_batches_tracked == 3


def test_the_mean_of_the_groups_statistics_is_kept() -> None:
    x = torch.randn(8, 3, 4, 4)
    grouped = GroupedBatchNorm2d(3, group=4, running_stats="mean")
    parts = [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    for _ in range(3):  # from the same start each time, not one after the other
        grouped(x)
        for part, images in zip(parts, torch.split(x, 4), strict=True):
            part(images)
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(part, name) for part in parts]).mean(0)
        torch.testing.assert_close(getattr(grouped, name), mean)
    assert grouped.num_batches_tracked == 3


def test_evaluation_uses_running_statistics_whatever_the_batch() -> None:
    grouped, ordinary = GroupedBatchNorm2d(3, group=4).eval(), nn.BatchNorm2d(3).eval()
    x = torch.randn(7, 3, 4, 4)
    torch.testing.assert_close(grouped(x), ordinary(x))


def test_a_batch_without_whole_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 6 images cannot be split into groups of 4"):
        GroupedBatchNorm2d(3, group=4)(torch.randn(6, 3, 2, 2))


def test_a_group_of_one_value_is_refused() -> None:
    with pytest.raises(ValueError, match="no variance"):
        GroupedBatchNorm2d(3, group=1)(torch.randn(6, 3, 1, 1))


@pytest.mark.parametrize("form", ["small", "large", "mixed precision"])
def test_each_form_gives_the_same(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x = torch.randn(12, 5, 3, 4)
    norm, ordinary = GroupedBatchNorm2d(5, group=4), nn.BatchNorm2d(5)
    expected = torch.cat([ordinary(part) for part in torch.split(x, 4)])
    if form == "large":
        monkeypatch.setattr(grouped_norm, "LARGE", 1)
    if form == "mixed precision":
        x = x.bfloat16()
    y = norm(x)
    tolerance = 0.05 if form == "mixed precision" else 1e-5
    assert y.dtype == x.dtype
    torch.testing.assert_close(y.float(), expected, rtol=tolerance, atol=tolerance)


def test_autocast_does_not_round_the_statistics() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 3, 4, 4) + 10
    norm, plain = GroupedBatchNorm2d(3, group=4), GroupedBatchNorm2d(3, group=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = norm(x)
    torch.testing.assert_close(y, plain(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.running_var, plain.running_var, rtol=1e-4, atol=1e-4)


def test_statistics_that_are_forgotten_are_neither_followed_nor_loaded() -> None:
    torch.manual_seed(0)
    kept = GroupedBatchNorm2d(3, group=4)
    forgets = GroupedBatchNorm2d(3, group=4)
    forget_running_statistics(forgets)
    x = torch.randn(8, 3, 2, 2)
    torch.testing.assert_close(forgets(x), kept(x))
    assert set(forgets.state_dict()) == {"weight", "bias"}
    nn.init.uniform_(kept.weight)
    assert str(forgets.load_state_dict(kept.state_dict())) == "<All keys matched successfully>"
    assert torch.equal(forgets.weight, kept.weight)
    assert forgets.running_mean is None
    with pytest.raises(RuntimeError, match="running_mean"):
        kept.load_state_dict(forgets.state_dict())
