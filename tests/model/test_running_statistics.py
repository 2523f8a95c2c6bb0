from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness.model.encoder import Encoder
from harness.model.grouped_norm import GroupedBatchNorm2d
from harness.model.running_statistics import RunningStats
from harness.recipe.schema import Model

GROUP = 4


def encoder(which: RunningStats) -> Encoder:
    torch.manual_seed(0)
    model = Model(backbone="miniature", head="mlp", dim=8, bn_group=GROUP, running_stats=which)
    return Encoder(model).double().train()


def images(seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(3 * GROUP, 3, 12, 12, generator=draw).double()


def norms(module: nn.Module) -> list[GroupedBatchNorm2d]:
    return [each for each in module.modules() if isinstance(each, GroupedBatchNorm2d)]


@pytest.mark.parametrize("which", ["first_group", "mean"])
def test_all_at_once_is_one_after_the_other(which: RunningStats) -> None:
    """The norms as torch's own would follow, group by group; forward passes with and without
    gradient."""
    ours, plain = encoder(which), encoder(which)
    for norm in norms(plain):
        norm.running = None
        norm.register_forward_pre_hook(_follow_by_torch)
    for step in range(3):
        with torch.set_grad_enabled(step != 1):
            torch.testing.assert_close(ours(images(step)), plain(images(step)))
    for one, other in zip(norms(ours), norms(plain), strict=True):
        assert one.num_batches_tracked is not None
        assert one.num_batches_tracked.item() == 3
        torch.testing.assert_close(one.running_mean, other.expected_mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(one.running_var, other.expected_var, rtol=1e-12, atol=1e-12)


def _follow_by_torch(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    assert isinstance(norm, GroupedBatchNorm2d)
    size, parts = norm.num_features, inputs[0].detach().split(GROUP)
    if not hasattr(norm, "expected_mean"):
        norm.expected_mean = torch.zeros(size).double()
        norm.expected_var = torch.ones(size).double()
    found = []
    for part in parts if norm.running_stats == "mean" else parts[:1]:
        plain = nn.BatchNorm2d(size).double()
        plain.load_state_dict(
            {"running_mean": norm.expected_mean, "running_var": norm.expected_var}, strict=False
        )
        plain(part)
        found.append((plain.running_mean, plain.running_var))
    means, variances = zip(*found, strict=True)
    norm.expected_mean = torch.stack(means).mean(0).detach()
    norm.expected_var = torch.stack(variances).mean(0).detach()


def test_a_pass_that_fails_moves_nothing() -> None:
    made = encoder("first_group")
    made.head.register_forward_pre_hook(_fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        made(images(0))
    assert not any(n.get_buffer("running_mean").any() for n in norms(made))
    made.head._forward_pre_hooks.clear()
    made(images(0))
    assert {n.get_buffer("num_batches_tracked").item() for n in norms(made)} == {1}


def _fail(*_: object) -> None:
    raise RuntimeError("on purpose")


def test_a_norm_by_itself_follows_at_once() -> None:
    made = encoder("first_group")
    made.backbone(images(0))
    assert {n.get_buffer("num_batches_tracked").item() for n in norms(made)} == {1}


def test_evaluation_moves_nothing() -> None:
    made = encoder("mean").eval()
    made(images(0))
    assert {n.get_buffer("num_batches_tracked").item() for n in norms(made)} == {0}
