from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from harness.recipe.optim import Constant
from harness.runtime.merged import Merged
from harness.runtime.optimiser import MergedOptimiser, set_rate
from harness.runtime.sgd.config import SgdOptim
from harness.runtime.sgd.optimiser import Sgd


def optim(**changes: float) -> SgdOptim:
    said: dict[str, Any] = {"lr": 0.1, "sgd_momentum": 0.9, "weight_decay": 0.01, **changes}
    return SgdOptim(epochs=1, batch=2, schedule=Constant(kind="constant"), **said)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def made_for(net: nn.Module) -> Sgd:
    return Sgd(Merged(net.parameters()), optim())


def train(net: nn.Module, optimiser: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimiser.zero_grad()
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step)).double()
        net(x).square().sum().backward()
        optimiser.step()


def test_one_group_that_decays_batch_norm_and_biases_too() -> None:
    made = made_for(network())
    (group,) = made.param_groups
    assert (group["weight_decay"], group["momentum"], group["nesterov"]) == (0.01, 0.9, False)
    assert group["dampening"] == 0


def test_steps_are_the_plain_formula() -> None:
    """v = mu v + (g + wd p); p = p - lr v, with the first v = g + wd p."""
    net, plain = network(), network()
    made = made_for(net)
    speed = [torch.zeros_like(p) for p in plain.parameters()]
    for step, lr in enumerate((0.1, 0.1, 0.01)):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step)).double()
        made.zero_grad()
        plain.zero_grad()
        for each in (net, plain):
            each(x).square().sum().backward()
        set_rate(made, lr)
        made.step()
        with torch.no_grad():
            for p, v in zip(plain.parameters(), speed, strict=True):
                assert p.grad is not None
                v.mul_(0.9).add_(p.grad + 0.01 * p)
                p.sub_(lr * v)
    for p, q in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


def torchs(net: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)


class MergedAdam(MergedOptimiser, torch.optim.AdamW):
    """Another of torch's: two numbers for each of the parameters', and a count of steps."""


def merged_adam(net: nn.Module) -> MergedAdam:
    return MergedAdam(Merged(net.parameters()), lr=0.1, foreach=False)


def torchs_adam(net: nn.Module) -> torch.optim.AdamW:
    return torch.optim.AdamW(net.parameters(), lr=0.1)


Made = Callable[[nn.Module], torch.optim.Optimizer]


@pytest.mark.parametrize(("ours", "theirs"), [(made_for, torchs), (merged_adam, torchs_adam)])
@pytest.mark.parametrize("steps", [0, 2])
def test_states_are_torchs_of_each_parameter(ours: Made, theirs: Made, steps: int) -> None:
    """Saved by either and gone on with by the other, before a first step and after some."""
    for first, second in ((ours, theirs), (theirs, ours)):
        net, whole, other = network(), network(), network()
        one = first(net)
        train(net, one, range(steps))
        two = second(other)
        other.load_state_dict(net.state_dict())
        two.load_state_dict(one.state_dict())
        train(other, two, range(steps, 5))
        train(whole, theirs(whole), range(5))
        for p, q in zip(other.parameters(), whole.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


def test_a_state_that_is_loaded_and_saved_again_is_the_same() -> None:
    net = network()
    one, two = merged_adam(net), merged_adam(network())
    train(net, one, range(3))
    two.load_state_dict(one.state_dict())
    before, after = one.state_dict(), two.state_dict()
    assert before["param_groups"] == after["param_groups"]
    assert before["state"].keys() == after["state"].keys() == set(range(6))
    for place, state in before["state"].items():
        assert state.keys() == {"step", "exp_avg", "exp_avg_sq"}
        for name, value in state.items():
            assert torch.equal(value, after["state"][place][name])


def test_a_state_of_other_parameters_is_refused() -> None:
    state = torchs(nn.Linear(3, 4)).state_dict()
    with pytest.raises(ValueError, match="parameters"):
        made_for(network()).load_state_dict(state)
    other = nn.Linear(3, 5).double()
    theirs = torchs(other)
    train(other, theirs, range(1))
    with pytest.raises(RuntimeError):
        made_for(nn.Linear(3, 4).double()).load_state_dict(theirs.state_dict())


def test_a_gradient_that_was_replaced_is_not_passed_over() -> None:
    net = network()
    made = made_for(net)
    net.zero_grad(set_to_none=True)
    net(torch.ones(8, 3).double()).sum().backward()
    with pytest.raises(AssertionError, match="merged"):
        made.step()
    train(net, made, range(1))


def test_parameters_that_have_moved_are_not_passed_over() -> None:
    net = network()
    made = made_for(net)
    net.float()
    with pytest.raises(AssertionError, match="moved"):
        made.step()


def test_a_scalers_skipped_first_step_leaves_no_trace() -> None:
    weight = nn.Parameter(torch.ones(3))
    made = Sgd(Merged([weight]), optim())
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for times in (float("inf"), 1.0):
        made.zero_grad()
        scaler.scale((weight * times).sum()).backward()
        scaler.step(made)
        scaler.update()
    torch.testing.assert_close(weight.detach(), torch.full((3,), 1 - 0.1 * 1.01))


def test_a_rate_is_set_in_every_group() -> None:
    net = network()
    made = torchs(net[0])
    made.add_param_group({"params": list(net[2].parameters())})
    set_rate(made, 0.5)
    assert [group["lr"] for group in made.param_groups] == [0.5, 0.5]
