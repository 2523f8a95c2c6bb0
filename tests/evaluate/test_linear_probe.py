"""The linear probe against the oracle: several rates in one pass are what each is alone."""

import pytest
import torch
from oracle.linear_probe import linear_probe

from harness.evaluate.linear_probe import LinearProbe, named
from harness.recipe.schema import Linear


def data() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (40,), generator=draw)
    return torch.randn(40, 6, generator=draw) + labels.view(-1, 1), labels


def test_each_rate_is_what_it_would_be_alone() -> None:
    features, labels = data()
    rates = (0.5, 0.05, 3.0)
    protocol = Linear(epochs=4, batch=16, lr=rates, weight_decay=(0.01,), drops=(1, 3), factor=0.5)
    probe = LinearProbe(
        protocol, dim=6, classes=3, stream=(0, "linear"), device=torch.device("cpu")
    )
    start = probe.weight.detach().clone()
    batches = [
        [
            part.long()
            for part in torch.randperm(40, generator=torch.Generator().manual_seed(e)).split(16)
        ]
        for e in range(4)
    ]
    losses = [
        probe.step(features[index], labels[index], epoch)
        for epoch, of_epoch in enumerate(batches)
        for index in of_epoch
    ]
    for n, rate in enumerate(rates):
        expected = linear_probe(
            features.double(),
            labels,
            start[n].double(),
            batches,
            lr=rate,
            sgd_momentum=0.9,
            weight_decay=0.01,
            drops=(1, 3),
            factor=0.5,
        )
        torch.testing.assert_close(probe.weight[n].double(), expected.weight, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(probe.bias[n].double(), expected.bias, rtol=1e-4, atol=1e-4)
        ours = [float(loss[n]) for loss in losses]
        assert ours == pytest.approx([float(v) for v in expected.losses], rel=1e-4, abs=1e-4)


def test_it_begins_as_the_official_probe() -> None:
    protocol = Linear(lr=(30.0, 10.0))
    probe = LinearProbe(
        protocol, dim=2048, classes=100, stream=(1, "linear"), device=torch.device("cpu")
    )
    assert probe.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert torch.equal(probe.weight[0], probe.weight[1])
    assert not probe.bias.any()


def test_it_goes_on_from_its_state() -> None:
    features, labels = data()
    protocol = Linear(epochs=100, batch=40, lr=(0.5,))
    one, other = (
        LinearProbe(protocol, dim=6, classes=3, stream=(s, "linear"), device=torch.device("cpu"))
        for s in (0, 1)
    )
    one.step(features, labels, 0)
    held = {name: value for name, value in one.state().items() if value is not None}
    other.load({name: value.clone() for name, value in held.items()})
    for probe in (one, other):
        probe.step(features, labels, 1)
    assert torch.equal(one.weight, other.weight)
    assert one.accuracy(features, labels) == other.accuracy(features, labels)


def test_the_first_rate_is_the_result() -> None:
    assert named("linear/top1", Linear(lr=(30.0, 10.0)), (1.0, 2.0)) == {
        "linear/top1": 1.0,
        "linear/top1@lr10": 2.0,
    }
    grid = Linear(lr=(30.0, 10.0), weight_decay=(0.0, 1e-4))
    assert named("linear/top1", grid, (1.0, 2.0, 3.0, 4.0)) == {
        "linear/top1": 1.0,
        "linear/top1@lr10,wd0": 2.0,
        "linear/top1@lr30,wd0.0001": 3.0,
        "linear/top1@lr10,wd0.0001": 4.0,
    }


def test_only_some_classes_may_be_answered() -> None:
    features, labels = data()
    probe = LinearProbe(
        Linear(lr=(1.0, 0.1)), dim=6, classes=3, stream=(0, "linear"), device=torch.device("cpu")
    )
    probe.step(features, labels, 0)
    logits = probe.logits(features)
    right, finite = probe.right(features, labels, only=(0, 2))
    expected = torch.where(logits[:, :, 0] > logits[:, :, 2], 0, 2) == labels.view(-1, 1)
    assert torch.equal(right, expected.T)
    assert finite == [True, True]
    everything, _ = probe.right(features, labels)
    assert not torch.equal(right, everything)
    probe.weight[0, 1] = torch.inf  # of a class that is not among them, but the training diverged
    assert probe.right(features, labels, only=(0, 2))[1] == [False, True]
