"""The groups of a large tensor normalised into one output, against a loop over the groups."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.model import grouped_norm
from harness.model.grouped_norm import GroupedBatchNorm2d, RunningStats
from harness.model.split_norm import Statistics

SHAPE, GROUP = (12, 5, 3, 4), 4
LAYOUTS = [torch.channels_last, torch.contiguous_format]


def passed(
    images: Tensor, dy: Tensor, stats: RunningStats
) -> tuple[Tensor, tuple[Tensor, ...], GroupedBatchNorm2d]:
    """The output, its gradients, and the norm that three batches have gone through."""
    norm = GroupedBatchNorm2d(SHAPE[1], group=GROUP, running_stats=stats)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, SHAPE[1]))
        norm.bias.copy_(torch.linspace(-1, 1, SHAPE[1]))
    for _ in range(2):
        norm(images + 1)
    x = images.clone().requires_grad_()
    out = norm(x)
    return out, torch.autograd.grad(out, [x, norm.weight, norm.bias], dy), norm


def loop_over_groups(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    group: int,
    eps: float,
    statistics: Sequence[Statistics],
    momentum: float,
) -> Tensor:
    parts = zip(torch.split(x, group), statistics, strict=True)
    return torch.cat(
        [F.batch_norm(part, *pair, weight, bias, True, momentum, eps) for part, pair in parts]
    )


@pytest.mark.parametrize("stats", ["first_group", "mean"])
@pytest.mark.parametrize("of_images", LAYOUTS)
@pytest.mark.parametrize("of_gradient", LAYOUTS)
def test_outputs_gradients_and_running_statistics_are_the_loops(
    stats: RunningStats,
    of_images: torch.memory_format,
    of_gradient: torch.memory_format,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    images = (torch.randn(SHAPE) * 3 + 2).contiguous(memory_format=of_images)
    dy = torch.randn(SHAPE).contiguous(memory_format=of_gradient)
    monkeypatch.setattr(grouped_norm, "LARGE", 1)
    out, grads, norm = passed(images, dy, stats)
    monkeypatch.setattr(grouped_norm, "split_norm", loop_over_groups)
    loop_out, loop_grads, loop = passed(images, dy, stats)
    assert "_SplitNorm" in type(out.grad_fn).__name__
    assert torch.equal(out, loop_out)
    assert out.is_contiguous(memory_format=of_images)
    for one, other in zip(grads, loop_grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    for name in ("running_mean", "running_var"):
        assert torch.equal(getattr(norm, name), getattr(loop, name))


def test_its_gradients_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouped_norm, "LARGE", 1)
    norm = GroupedBatchNorm2d(2, group=3).double()
    x = torch.randn(6, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, (x,))
