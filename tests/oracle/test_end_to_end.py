"""The end-to-end oracle against numbers worked out by hand and against finite differences."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from .end_to_end import EndToEndOracle
from .test_oracle import Mean, images_pointing, normed, two_views
from .trajectories import (
    Angle,
    X,
    Y,
    Z,
    turned,
)


def end_to_end_of(
    query: nn.Module,
    key: nn.Module | None,
    *,
    bn_group: int = 2,
    temperature: float = 1.0,
    lr: float = 0.0,
    sgd_momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> EndToEndOracle:
    """Two encoders, or a shared one where `key` is None."""
    return EndToEndOracle(
        query,
        key,
        temperature=temperature,
        bn_group=bn_group,
        lr=lr,
        sgd_momentum=sgd_momentum,
        weight_decay=weight_decay,
        shared=key is None,
    )


def test_end_to_end_loss_by_hand() -> None:
    # q = x, y, z and k = x, z, z at T = 0.5: logits are 2 where the axes agree and 0 elsewhere.
    # image 0: 2 | 0, 0: ln(1 + 2 e^-2);  image 1: 0 | 0, 0: ln 3;  image 2: 2 | 0, 2: ln(2 + e^-2)
    oracle = end_to_end_of(Mean(), Mean(), bn_group=3, temperature=0.5)
    loss = oracle.step(images_pointing(0, 1, 2), images_pointing(0, 2, 2))
    by_hand = [math.log(1 + 2 * math.exp(-2)), math.log(3), math.log(2 + math.exp(-2))]
    assert loss == pytest.approx(sum(by_hand) / 3, abs=1e-12)
    assert loss == pytest.approx(0.6990, abs=1e-4)  # (0.2395 + 1.0986 + 0.7588) / 3
    assert oracle.queries.tolist() == torch.stack([X, Y, Z]).tolist()
    assert oracle.keys.tolist() == torch.stack([X, Z, Z]).tolist()


def test_a_batch_of_one_has_no_negative() -> None:
    one = images_pointing(0)
    assert end_to_end_of(Mean(), Mean(), bn_group=1).step(one, one) == 0.0


def test_end_to_end_gradients_by_hand() -> None:
    # Queries at angles 0, 0 and keys at pi/2, 0; score cos(a - b), its derivative by the query's
    # own angle -sin(a - b), by the key's +sin(a - b), which is 1 for key 0 and 0 for key 1.
    # image 0 (target 0): scores 0, 1, p_0 = 1/(1+e): (p_0 - 1) * 1 = -e/(1+e)
    # image 1 (target 1): scores 0, 1, p_0 = 1/(1+e):  p_0      * 1 =  1/(1+e)
    # mean by the query's angle: (1 - e) / (2 (1 + e)) = -tanh(1/2) / 2; by the key's the opposite
    views = turned(0.0, 0.0), turned(math.pi / 2, 0.0)
    slope = math.tanh(0.5) / 2  # 0.2311
    two = end_to_end_of(Angle(), Angle(), lr=1.0, weight_decay=0.1)
    loss = two.step(*views)
    assert loss == pytest.approx((math.log(1 + math.e) + math.log(1 + 1 / math.e)) / 2)
    assert [p.item() for p in two.query.parameters()] == pytest.approx([slope])
    assert [p.item() for p in two.key.parameters()] == pytest.approx([-slope])
    # one angle for both turns all of them alike: nothing changes
    shared = end_to_end_of(Angle(), None, lr=1.0)
    assert shared.step(*views) == pytest.approx(loss)
    assert [p.item() for p in shared.query.parameters()] == pytest.approx([0.0])
    assert shared.key is shared.query


def test_end_to_end_sgd_by_hand() -> None:
    # Blank images give zero embeddings, so the penalty is the only gradient.
    # step 1: buffer 0.2, scale 1 - 0.5 * 0.2 = 0.9; step 2: buffer 0.1 + 0.18 = 0.28, scale 0.76
    blank = torch.zeros(2, 3, 1, 1, dtype=torch.float64)
    for key in (Mean(), None):
        oracle = end_to_end_of(Mean(), key, lr=0.5, sgd_momentum=0.5, weight_decay=0.2)
        for scale in (0.9, 0.76):
            oracle.step(blank, blank)
            for module in (oracle.query, oracle.key):
                assert next(module.parameters()).tolist() == pytest.approx([scale] * 3)


@pytest.mark.parametrize("shared", [False, True])
def test_gradients_through_shuffled_keys_are_the_finite_differences(shared: bool) -> None:
    query, key = normed(), None if shared else normed()
    views, order = two_views(), torch.tensor([2, 0, 3, 1])
    oracle = end_to_end_of(query, key, temperature=0.2)
    oracle.step(*views, order)
    sides = [(query, oracle.query)] + ([] if key is None else [(key, oracle.key)])
    for moved, trained in sides:
        for name, parameter in trained.named_parameters():
            way = torch.randn_like(parameter)
            losses = []
            for step in (1e-5, -1e-5):
                before = moved.get_parameter(name).detach().clone()
                with torch.no_grad():
                    moved.get_parameter(name).add_(step * way)
                probe = end_to_end_of(query, key, temperature=0.2)
                losses.append(probe.step(*views, order))
                with torch.no_grad():
                    moved.get_parameter(name).copy_(before)
            assert parameter.grad is not None
            slope = float((parameter.grad * way).sum())
            assert slope == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-5, abs=1e-8)
            assert abs(slope) > 1e-4, name


def test_keys_are_put_back_with_permutation_j_at_position_j() -> None:
    # Groups of 2 of the batch [0 1 2 3] seen as [2 0 3 1]: image 0 shares its group with image 2.
    key = normed()
    oracle = end_to_end_of(normed(), key)
    x1, x2 = two_views()
    oracle.step(x1, x2, torch.tensor([2, 0, 3, 1]))
    first, second = copy.deepcopy(key).train()(x2[[2, 0]]), copy.deepcopy(key).train()(x2[[3, 1]])
    expected = F.normalize(torch.stack([first[1], second[1], first[0], second[0]]), dim=1)
    torch.testing.assert_close(oracle.keys, expected.detach())


def test_running_statistics_of_two_encoders_and_of_a_shared_one() -> None:
    # Means 10 and 20, BN momentum 0.1. Apart: 1 and 2. Shared: 0.9 * 1 + 0.1 * 20 = 2.9, and not
    # 0.9 * 2 + 0.1 * 10 = 2.8 as with the keys first, nor 1.5 as in one run over both.
    x1, x2 = (torch.full((4, 3, 2, 2), v, dtype=torch.float64) for v in (10.0, 20.0))
    module = nn.Sequential(nn.BatchNorm2d(3).double(), Mean())
    two = end_to_end_of(module, copy.deepcopy(module))
    two.step(x1, x2)
    shared = end_to_end_of(module, None)
    shared.step(x1, x2)
    means = [oracle.state_dict()["0.running_mean"] for oracle in (two.query, two.key)]
    assert [m.tolist() for m in means] == [pytest.approx([1.0] * 3), pytest.approx([2.0] * 3)]
    assert shared.query.state_dict()["0.running_mean"].tolist() == pytest.approx([2.9] * 3)
    assert int(two.query.state_dict()["0.num_batches_tracked"]) == 1
    assert int(shared.query.state_dict()["0.num_batches_tracked"]) == 2


def test_equal_encoders_part_unless_shared() -> None:
    module, views = normed(), two_views()
    two = end_to_end_of(module, copy.deepcopy(module), temperature=0.2, lr=0.1)
    shared = end_to_end_of(module, None, temperature=0.2, lr=0.1)
    assert two.step(*views) == pytest.approx(shared.step(*views), abs=1e-12)
    for q, k, both, old in zip(
        two.query.parameters(),
        two.key.parameters(),
        shared.query.parameters(),
        module.parameters(),
        strict=True,
    ):
        # a shared encoder takes both moves at once
        torch.testing.assert_close(both - old, (q - old) + (k - old), rtol=1e-9, atol=1e-12)
    assert any(
        (q - k).abs().max() > 1e-3
        for q, k in zip(two.query.parameters(), two.key.parameters(), strict=True)
    )


@pytest.mark.parametrize("shared", [False, True])
def test_the_number_of_encoders_must_agree(shared: bool) -> None:
    with pytest.raises(ValueError, match="two encoders"):
        EndToEndOracle(
            Mean(),
            Mean() if shared else None,
            temperature=1.0,
            bn_group=2,
            lr=0.0,
            sgd_momentum=0.0,
            weight_decay=0.0,
            shared=shared,
        )


def test_end_to_end_refuses_what_is_not_a_permutation() -> None:
    with pytest.raises(ValueError, match="permutation"):
        end_to_end_of(normed(), None).step(*two_views(), torch.tensor([0, 0, 1, 2]))
