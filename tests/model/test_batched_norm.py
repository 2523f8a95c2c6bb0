"""The groups of a small tensor normalised at once, against torch's batch norm of each."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.model.batched_norm import batched_norm

LAYOUTS = [torch.channels_last, torch.contiguous_format]
GROUP = 4


def ordinary(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    return torch.cat([norm(part) for part in torch.split(x, GROUP)])


@pytest.mark.parametrize("offset", [0.0, 10.0, 100.0], ids=lambda offset: f"{offset:g} deviations")
@pytest.mark.parametrize("of_images", LAYOUTS)
@pytest.mark.parametrize("of_gradient", LAYOUTS)
def test_outputs_and_gradients_are_as_exact_as_float32(
    offset: float, of_images: torch.memory_format, of_gradient: torch.memory_format
) -> None:
    torch.manual_seed(0)
    x = (torch.randn(12, 5, 6, 7) + offset).contiguous(memory_format=of_images).requires_grad_()
    dy = torch.randn(12, 5, 6, 7).contiguous(memory_format=of_gradient)
    norm = nn.BatchNorm2d(5)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    exact = nn.BatchNorm2d(5).double()
    exact.load_state_dict(norm.state_dict())

    told: list[Tensor] = []
    given = x, norm.weight, norm.bias, GROUP, norm.eps
    found = batched_norm(*given, lambda *statistics: told.extend(statistics))
    mean, variance = told
    ours = [found, *torch.autograd.grad(found, [x, norm.weight, norm.bias], dy)]
    wide = x.detach().double().requires_grad_()
    out = ordinary(wide, exact)
    truth = [out, *torch.autograd.grad(out, [wide, exact.weight, exact.bias], dy.double())]

    for one, true in zip(ours, truth, strict=True):
        error = (one - true).abs().max() / true.abs().max()
        assert error < 1e-6 * (1 + offset), "more than float32 costs"
    parts = torch.stack(torch.split(x.detach().double(), GROUP))
    means, variances = parts.mean((1, 3, 4)), parts.var((1, 3, 4), correction=0)
    torch.testing.assert_close(mean.double(), means.unsqueeze(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(variance.double(), variances.unsqueeze(1), rtol=1e-4, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.equal(batched_norm(*given), found), "without a gradient it is the same"


@pytest.mark.parametrize("shape", [(8, 1, 3, 3), (8, 5, 1, 1), (8, 5, 1, 7)], ids=str)
@pytest.mark.parametrize("of_images", LAYOUTS)
def test_narrow_shapes(shape: tuple[int, ...], of_images: torch.memory_format) -> None:
    x = torch.randn(shape).contiguous(memory_format=of_images).requires_grad_()
    norm = nn.BatchNorm2d(shape[1])
    pairs = [(batched_norm(x, norm.weight, norm.bias, GROUP, norm.eps), ordinary(x, norm))]
    ours, theirs = (torch.autograd.grad((out**3).sum(), x)[0] for out in pairs[0])
    pairs.append((ours, theirs))
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("of_images", LAYOUTS)
def test_groups_of_one_image_and_an_expanded_gradient(of_images: torch.memory_format) -> None:
    x = torch.randn(3, 4, 5, 6).contiguous(memory_format=of_images).requires_grad_()
    weight, bias = torch.rand(4, requires_grad=True), torch.rand(4, requires_grad=True)
    out = batched_norm(x, weight, bias, 1, 1e-5)
    torch.testing.assert_close(out, F.instance_norm(x, weight=weight, bias=bias))
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() < 1e-5, "a sum of what is normalised does not change"
    torch.testing.assert_close(bias.grad, torch.full((4,), 90.0))


@pytest.mark.parametrize("of_images", LAYOUTS)
@pytest.mark.parametrize("of_gradient", LAYOUTS)
@pytest.mark.parametrize("group", [1, 3])
def test_gradients_in_every_layout(
    of_images: torch.memory_format, of_gradient: torch.memory_format, group: int
) -> None:
    x = torch.randn(3, 4, 5, 6, dtype=torch.float64).contiguous(memory_format=of_images)
    x.requires_grad_()
    dy = torch.randn_like(x).contiguous(memory_format=of_gradient)
    weight, bias = torch.rand(2, 4, dtype=torch.float64)
    out = torch.cat([F.batch_norm(p, None, None, weight, bias, True) for p in x.split(group)])
    found = batched_norm(x, weight, bias, group, 1e-5)
    torch.testing.assert_close(
        torch.autograd.grad(found, x, dy)[0], torch.autograd.grad(out, x, dy)[0]
    )


def test_its_gradients_are_right() -> None:
    x = torch.randn(6, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    weight, bias = (torch.randn(2, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def out(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return batched_norm(x, weight, bias, 3, 1e-5)

    assert torch.autograd.gradcheck(out, (x, weight, bias))
