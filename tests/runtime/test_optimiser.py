from __future__ import annotations

import torch
from torch import nn

from harness.recipe.schema import Constant, Optim
from harness.runtime.optimiser import set_rate, sgd


def optim(**changes: float) -> Optim:
    said = {"lr": 0.1, "sgd_momentum": 0.9, "weight_decay": 0.01, **changes}
    return Optim(epochs=1, batch=2, schedule=Constant(kind="constant"), **said)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def test_one_group_that_decays_batch_norm_and_biases_too() -> None:
    net = network()
    made = sgd(net.parameters(), optim())
    (group,) = made.param_groups
    assert len(group["params"]) == len(list(net.parameters()))
    assert (group["weight_decay"], group["momentum"], group["nesterov"]) == (0.01, 0.9, False)
    assert group["dampening"] == 0


def test_steps_are_the_plain_formula() -> None:
    """v = mu v + (g + wd p); p = p - lr v, with the first v = g + wd p."""
    net, plain = network(), network()
    made = sgd(net.parameters(), optim())
    speed = [torch.zeros_like(p) for p in plain.parameters()]
    for step, lr in enumerate((0.1, 0.1, 0.01)):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step)).double()
        for each in (net, plain):
            each.zero_grad(set_to_none=True)
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


def test_a_scalers_skipped_first_step_leaves_no_trace() -> None:
    weight = nn.Parameter(torch.ones(3))
    made = sgd([weight], optim())
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for times in (float("inf"), 1.0):
        made.zero_grad(set_to_none=True)
        scaler.scale((weight * times).sum()).backward()
        scaler.step(made)
        scaler.update()
    torch.testing.assert_close(weight.detach(), torch.full((3,), 1 - 0.1 * 1.01))


def test_a_rate_is_set_in_every_group() -> None:
    net = network()
    made = sgd(net[0].parameters(), optim())
    made.add_param_group({"params": list(net[2].parameters())})
    set_rate(made, 0.5)
    assert [group["lr"] for group in made.param_groups] == [0.5, 0.5]
