"""The oracles of the baselines and of the symmetric loss, against numbers worked out by hand,
against second, vectorised forms, and against planted flaws in these."""

from __future__ import annotations

import copy
import functools
import itertools
import math
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .end_to_end import EndToEndOracle
from .memory_bank import MemoryBankOracle
from .moco import MocoOracle
from .symmetric import SymmetricMocoOracle
from .test_flaws import BATCH, GROUP, average, batches, encoder, split, start
from .test_oracle import Mean, images_pointing, normed, two_views

BankLoss = Literal["info_nce", "nce"]
TEMPERATURE, LR, MU, DECAY = 0.2, 0.1, 0.9, 0.05
MOMENTUM, BANK_MOMENTUM = 0.9, 0.7  # not a half, so that swapped shares show
IMAGES, DRAWS = 24, 16
X, Y, Z = torch.eye(3, dtype=torch.float64)


class Angle(nn.Module):
    """Maps (n, 3, H, W) to unit vectors of the plane: pixel 0's angle plus a learnt one of 0."""

    def __init__(self) -> None:
        super().__init__()
        self.angle = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        angle = x[:, 0, 0, 0] + self.angle
        return torch.stack([angle.cos(), angle.sin()], dim=1)


def turned(*angles: float) -> Tensor:
    return torch.tensor(angles, dtype=torch.float64).reshape(-1, 1, 1, 1).expand(-1, 3, 1, 1)


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


def bank_of(
    query: nn.Module,
    bank: Tensor,
    *,
    loss: BankLoss = "info_nce",
    exclude_self: bool = False,
    bank_momentum: float = 0.5,
    temperature: float = 1.0,
    bn_group: int = 2,
    lr: float = 0.0,
) -> MemoryBankOracle:
    return MemoryBankOracle(
        query,
        bank=bank,
        temperature=temperature,
        bank_momentum=bank_momentum,
        bn_group=bn_group,
        lr=lr,
        sgd_momentum=0.0,
        weight_decay=0.0,
        loss=loss,
        exclude_self=exclude_self,
    )


def symmetric_of(query: nn.Module, queue: Tensor, *, temperature: float) -> SymmetricMocoOracle:
    return SymmetricMocoOracle(
        query,
        queue=queue,
        momentum=MOMENTUM,
        temperature=temperature,
        bn_group=2,
        lr=0.0,
        sgd_momentum=0.0,
        weight_decay=0.0,
    )


# End-to-end


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


# Memory bank


def test_bank_loss_and_update_by_hand() -> None:
    # q = x, y for images 2 and 0; rows x, -y, z, y; draws 0, 0, 3. T = 1.
    # image 2: positive z: 0, negatives 1, 1, 0: ln(2 + 2e)
    # image 0: positive x: 0, negatives 0, 0, 1: ln(3 + e); without its own row: ln(1 + e)
    bank = torch.stack([X, -Y, Z, Y])
    index, draws = torch.tensor([2, 0]), torch.tensor([0, 0, 3])
    kept, left_out = (bank_of(Mean(), bank, exclude_self=e) for e in (False, True))
    images = images_pointing(0, 1)
    first, second = math.log(2 + 2 * math.e), math.log(3 + math.e)
    assert kept.step(images, index, draws) == pytest.approx((first + second) / 2, abs=1e-12)
    second = math.log(1 + math.e)
    assert left_out.step(images, index, draws) == pytest.approx((first + second) / 2, abs=1e-12)
    # rows 2 and 0 move half-way, to (z + x) / sqrt 2 and (x + y) / sqrt 2
    h = math.sqrt(0.5)
    for oracle in (kept, left_out):
        assert oracle.bank.flatten().tolist() == pytest.approx(
            [h, h, 0, 0, -1, 0, h, 0, h, 0, 1, 0], abs=1e-12
        )
        assert oracle.z is None
    assert bank.tolist() == torch.stack([X, -Y, Z, Y]).tolist()


def test_bank_momentum_is_the_old_rows_share() -> None:
    # (3/4, 1/4, 0) / sqrt(10/16) = (3, 1, 0) / sqrt 10 = (.948683, .316228, 0)
    oracle = bank_of(Mean(), torch.stack([X, Z]), bank_momentum=0.75, bn_group=1)
    oracle.step(images_pointing(1), torch.tensor([0]), torch.tensor([1]))
    assert oracle.bank.flatten().tolist() == pytest.approx([0.948683, 0.316228, 0, 0, 0, 1], 1e-6)


def test_a_step_sees_the_bank_before_its_own_update() -> None:
    # Image 0 with q = y, row x; image 1 with q = z, row z; draw 0. T = 1.
    # step 1: image 0: 0 | 0: ln 2; image 1: 1 | 0: ln(1 + 1/e)
    # step 2: row 0 is (x + y)/sqrt 2: image 0: h | h: ln 2; image 1: 1 | 0
    oracle = bank_of(Mean(), torch.stack([X, Z]))
    images, index, draws = images_pointing(1, 2), torch.tensor([0, 1]), torch.tensor([0])
    both = (math.log(2) + math.log(1 + 1 / math.e)) / 2
    assert oracle.step(images, index, draws) == pytest.approx(both, abs=1e-12)
    assert oracle.step(images, index, draws) == pytest.approx(both, abs=1e-12)
    # step 3, draw 1: row 0 is normalised (x + (1 + sqrt 2) y): cosine with y is cos(pi/8)
    image_0 = math.log(1 + math.exp(-math.cos(math.pi / 8)))
    loss = oracle.step(images, index, torch.tensor([1]))
    assert loss == pytest.approx((image_0 + math.log(2)) / 2, abs=1e-12)


def test_bank_gradient_by_hand() -> None:
    # q at angle 0, its row at pi/2, the draw at 0: p of the positive 1/(1+e), and only the
    # positive's score has a slope, -sin(0 - pi/2) = 1: (p - 1) * 1 = -e/(1+e)
    bank = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    oracle = bank_of(Angle(), bank, lr=1.0, bn_group=1)
    oracle.step(turned(0.0), torch.tensor([0]), torch.tensor([1]))
    moved = math.e / (1 + math.e)
    assert [p.item() for p in oracle.query.parameters()] == pytest.approx([moved])
    # the row takes the embedding from before that: half-way between the angles pi/2 and 0
    assert oracle.bank[0].tolist() == pytest.approx([math.sqrt(0.5)] * 2)
    assert oracle.queries.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(("exclude_self", "expected"), [(False, 1.655572), (True, 1.427225)])
def test_nce_by_hand(exclude_self: bool, expected: float) -> None:
    # N = 2, K = 3, n = 4, T = 1: q = x, y for images 0 and 1; rows x, y, z, -x; draws 2, 3, 0.
    # exp of the scores: image 0: e | 1, 1/e, e; image 1: e | 1, 1, 1
    # Z = 4 * (3e + 1/e + 4) / 8 = 6.261362, and c = Z K / n = 4.696021
    # 1/h of a positive: 1 + c/e; 1/(1 - h) of a negative of exp s: 1 + s/c
    # image 0: ln 2.727569 + ln 1.212946 + ln 1.078338 + ln 1.578848 = 1.728578,
    #          without the last, its own row, 1.271884
    # image 1: ln 2.727569 + 3 ln 1.212946 = 1.582566
    oracle = bank_of(Mean(), torch.stack([X, Y, Z, -X]), loss="nce", exclude_self=exclude_self)
    images, index = images_pointing(0, 1), torch.tensor([0, 1])
    loss = oracle.step(images, index, torch.tensor([2, 3, 0]))
    assert oracle.z == pytest.approx(6.261362, abs=1e-6)
    assert loss == pytest.approx(expected, abs=1e-5)
    # Z stays: both rows are as they were (q is the row), now q = y, z and draws 1, 2, 2.
    # image 0: 1 | e, 1, 1; image 1: 1 | 1, e, e, where a fresh Z were 4 * (3e + 5) / 8 = 6.577
    c = 6.261362 * 3 / 4
    image_0 = math.log(1 + c) + math.log(1 + math.e / c) + 2 * math.log(1 + 1 / c)
    image_1 = math.log(1 + c) + 2 * math.log(1 + math.e / c)
    image_1 += 0.0 if exclude_self else math.log(1 + 1 / c)
    loss = oracle.step(images_pointing(1, 2), index, torch.tensor([1, 2, 2]))
    assert oracle.z == pytest.approx(6.261362, abs=1e-6)
    assert loss == pytest.approx((image_0 + image_1) / 2, abs=1e-6)


def test_nce_of_orthogonal_rows_by_hand() -> None:
    # exp of all scores 1: Z = n = 4, P = 1/4, m P_n = 4/4 = 1, h = 1/5: -ln(1/5) - 4 ln(4/5)
    bank = torch.stack([Y, Z, Y, Z])
    oracle = bank_of(Mean(), bank, loss="nce", bn_group=1)
    loss = oracle.step(images_pointing(0), torch.tensor([0]), torch.tensor([0, 1, 2, 3]))
    assert oracle.z == pytest.approx(4.0)
    assert loss == pytest.approx(math.log(5) + 4 * math.log(5 / 4), abs=1e-12)


def test_an_image_twice_in_a_batch_is_refused() -> None:
    oracle = bank_of(Mean(), torch.stack([X, Y]))
    with pytest.raises(ValueError, match="twice"):
        oracle.step(images_pointing(0, 1), torch.tensor([1, 1]), torch.tensor([0]))


# Symmetric MoCo


def test_symmetric_loss_and_queue_by_hand() -> None:
    # q1 = k1 = x, y; q2 = k2 = x, z; a queue of four z; T = 1.
    # (q1, k2): x: 1 | 4 of 0: ln(1 + 4/e); y: 0 | 4 of 0: ln 5
    # (q2, k1): x: 1 | 4 of 0: ln(1 + 4/e); z: 0 | 4 of 1: ln(1 + 4e)
    oracle = symmetric_of(Mean(), torch.stack([Z] * 4), temperature=1.0)
    loss = oracle.step(images_pointing(0, 1), images_pointing(0, 2))
    terms = [2 * math.log(1 + 4 / math.e), math.log(5), math.log(1 + 4 * math.e)]
    assert loss == pytest.approx(sum(terms) / 2, abs=1e-12)
    assert oracle.queue.tolist() == torch.stack([X, Y, X, Z]).tolist()
    assert oracle.first_row == 0


def test_symmetric_loss_is_the_sum_of_the_two_one_way_losses() -> None:
    queue = F.normalize(torch.randn(9, 6, dtype=torch.float64), dim=1)
    module, (x1, x2) = normed(), two_views()
    order_2, order_1 = torch.tensor([2, 0, 3, 1]), torch.tensor([0, 2, 1, 3])
    both = symmetric_of(module, queue, temperature=0.2)
    loss = both.step(x1, x2, order_2, order_1)
    ways = []
    for views in ((x1, x2, order_2), (x2, x1, order_1)):
        one = MocoOracle(
            module,
            queue=queue,
            momentum=MOMENTUM,
            temperature=0.2,
            bn_group=2,
            lr=0.0,
            sgd_momentum=0.0,
            weight_decay=0.0,
        )
        ways.append((one.step(*views), one.keys))
    assert loss == pytest.approx(ways[0][0] + ways[1][0], abs=1e-12)
    torch.testing.assert_close(both.keys, torch.cat([ways[1][1], ways[0][1]]))
    torch.testing.assert_close(both.queue[:8], both.keys)


def test_symmetric_running_statistics_see_both_views() -> None:
    # Means 10 and 20, BN momentum 0.1: the query encoder sees 10, then 20: 1, then 2.9; the key
    # encoder 20, then 10: 2, then 0.9 * 2 + 1 = 2.8.
    x1, x2 = (torch.full((4, 3, 2, 2), v, dtype=torch.float64) for v in (10.0, 20.0))
    module = nn.Sequential(nn.BatchNorm2d(3).double(), Mean())
    oracle = symmetric_of(module, torch.stack([X] * 8), temperature=1.0)
    oracle.step(x1, x2)
    of_query, of_key = oracle.query.state_dict(), oracle.key.state_dict()
    assert of_query["0.running_mean"].tolist() == pytest.approx([2.9] * 3)
    assert of_key["0.running_mean"].tolist() == pytest.approx([2.8] * 3)
    assert int(of_query["0.num_batches_tracked"]) == int(of_key["0.num_batches_tracked"]) == 2


# Second, vectorised forms. A trajectory is its losses and the tensors at its end.

Trajectory = dict[str, Tensor]


def trajectory(losses: list[float], modules: dict[str, nn.Module], **rest: Tensor) -> Trajectory:
    out = {"loss": torch.tensor(losses, dtype=torch.float64), **rest}
    for side, module in modules.items():
        state = module.state_dict()
        for part, wanted in ((side, False), (side + " statistics", True)):
            values = [v for n, v in state.items() if ("running" in n or "tracked" in n) == wanted]
            out[part] = torch.cat([v.double().flatten() for v in values])
    return out


def apart(a: Trajectory, b: Trajectory) -> dict[str, float]:
    """The largest difference in each part."""
    assert a.keys() == b.keys()
    return {part: float((a[part] - b[part]).abs().max()) for part in a}


def key_encoder() -> nn.Sequential:
    """An encoder that starts elsewhere than the query encoder."""
    module = encoder()
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, dtype=torch.float64, generator=draw)
            parameter.add_(0.1 * noise)
    return module


def optimiser_of(*groups: list[nn.Parameter]) -> torch.optim.SGD:
    every = [parameter for group in groups for parameter in group]
    return torch.optim.SGD(every, lr=LR, momentum=MU, weight_decay=DECAY)


@functools.cache
def end_to_end_by_oracle(shared: bool, keep: Literal["first_group", "mean"]) -> Trajectory:
    oracle = EndToEndOracle(
        encoder(),
        None if shared else key_encoder(),
        temperature=TEMPERATURE,
        bn_group=GROUP,
        lr=LR,
        sgd_momentum=MU,
        weight_decay=DECAY,
        running_stats=keep,
        shared=shared,
    )
    losses = [oracle.step(*batch) for batch in batches()]
    return trajectory(losses, {"query": oracle.query, "key": oracle.key}, keys=oracle.keys)


def end_to_end_vectorised(shared: bool, keep: str, flaw: str = "") -> Trajectory:
    query = split(encoder(), flaw, keep).train()
    key = query if shared else split(key_encoder(), flaw, keep).train()
    if flaw == "shared where two are meant":
        key = query
    if flaw == "two where one is meant":
        key = copy.deepcopy(query)
    twice = [] if key is query else list(key.parameters())
    if flaw == "key encoder left out of the optimiser":
        twice = []
    optimiser = optimiser_of(list(query.parameters()), twice)
    half = BATCH // 2
    own = torch.arange(BATCH)
    losses = []
    for x1, x2, order in batches():
        if flaw == "views swapped":
            x1, x2 = x2, x1
        if flaw == "no shuffle":
            order = own
        if flaw == "keys encoded first":
            shuffled = key(x2[order])
            q = F.normalize(query(x1), dim=1)
        elif flaw == "one run over both views":
            q, shuffled = query(torch.cat([x1, x2[order]])).split(BATCH)
            q = F.normalize(q, dim=1)
        else:
            q = F.normalize(query(x1), dim=1)
            shuffled = key(x2[order])
        shuffled = F.normalize(shuffled, dim=1)
        k = shuffled[order.argsort()]
        if flaw == "never unshuffled":
            k = shuffled
        elif flaw == "unshuffled by the permutation itself":
            k = shuffled[order]
        elif flaw == "gradient not unshuffled":
            k = k.detach() + shuffled - shuffled.detach()
        elif flaw == "keys without gradient":
            k = k.detach()
        elif flaw == "queries without gradient":
            q = q.detach()
        target = own
        if flaw == "target of the next image":
            target = own.roll(-1)
        elif flaw == "no offset on the second process":
            target = own % half
        logits = q @ k.T / TEMPERATURE
        if flaw == "negatives from the process's own half":
            far = (own[:, None] < half) != (own[None] < half)
            logits = logits.masked_fill(far, -math.inf)
        elif flaw == "gradient to the process's own keys alone":
            near = (own[:, None] < half) == (own[None] < half)
            logits = torch.where(near, logits, q @ k.detach().T / TEMPERATURE)
        elif flaw == "negatives from both views":
            same = (q @ q.T / TEMPERATURE).masked_fill(torch.eye(BATCH, dtype=torch.bool), -1e9)
            logits = torch.cat([logits, same], dim=1)
        loss = F.cross_entropy(logits, target)
        if flaw == "positive left out of the denominator":
            others = logits.masked_fill(torch.eye(BATCH, dtype=torch.bool), -math.inf)
            loss = (others.logsumexp(1) - logits.diagonal()).mean()
        elif flaw == "symmetric":
            loss = (loss + F.cross_entropy(logits.T, target)) / 2
        optimiser.zero_grad()
        (loss * (2 if flaw == "gradient summed over processes" else 1)).backward()
        if flaw == "key's gradient doubled by the gather":
            for parameter in key.parameters():
                assert parameter.grad is not None
                parameter.grad *= 2
        optimiser.step()
        if flaw == "key encoder averaged too":
            average(key, query, MOMENTUM)
        losses.append(loss.item())
    return trajectory(losses, {"query": query, "key": key}, keys=k.detach())


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("keep", ["first_group", "mean"])
def test_end_to_end_vectorised_agrees(shared: bool, keep: Literal["first_group", "mean"]) -> None:
    ours = end_to_end_by_oracle(shared, keep)
    difference = apart(ours, end_to_end_vectorised(shared, keep))
    assert max(difference.values()) < 1e-11, difference


@pytest.mark.parametrize(
    ("flaw", "shared"),
    [
        *itertools.product(
            [
                "views swapped",
                "no shuffle",
                "never unshuffled",
                "unshuffled by the permutation itself",
                "gradient not unshuffled",
                "keys without gradient",
                "queries without gradient",
                "target of the next image",
                "no offset on the second process",
                "negatives from the process's own half",
                "gradient to the process's own keys alone",
                "negatives from both views",
                "positive left out of the denominator",
                "symmetric",
                "one group",
                "interleaved groups",
                "gradient summed over processes",
                "key's gradient doubled by the gather",
            ],
            [False, True],
        ),
        ("shared where two are meant", False),
        ("key encoder left out of the optimiser", False),
        ("key encoder averaged too", False),
        ("two where one is meant", True),
    ],
)
def test_an_end_to_end_flaw_shows_in_the_losses(flaw: str, shared: bool) -> None:
    ours = end_to_end_by_oracle(shared, "first_group")
    difference = apart(ours, end_to_end_vectorised(shared, "first_group", flaw))
    assert difference["loss"] > 1e-3, difference


@pytest.mark.parametrize("flaw", ["keys encoded first", "one run over both views"])
def test_an_end_to_end_flaw_hidden_from_the_losses_shows_in_the_statistics(flaw: str) -> None:
    ours = end_to_end_by_oracle(True, "first_group")
    difference = apart(ours, end_to_end_vectorised(True, "first_group", flaw))
    assert difference["loss"] < 1e-11, difference
    assert difference["query statistics"] > 1e-3, difference


def bank_batches() -> list[tuple[Tensor, Tensor, Tensor]]:
    """Images of a small set, three batches an epoch; repeats and own rows among the draws."""
    draw = torch.Generator().manual_seed(5)
    epochs = [torch.randperm(IMAGES, generator=draw) for _ in batches()]
    parts = torch.cat(epochs).reshape(-1, BATCH)
    out = []
    for (x, _, _), index in zip(batches(), parts, strict=False):
        draws = torch.randint(0, IMAGES, (DRAWS,), generator=draw)
        assert len(set(draws.tolist())) < DRAWS
        assert torch.isin(draws, index).any()
        out.append((x, index, draws))
    return out


@functools.cache
def bank_by_oracle(loss: BankLoss, exclude_self: bool) -> Trajectory:
    oracle = MemoryBankOracle(
        encoder(),
        bank=start(IMAGES),
        temperature=TEMPERATURE,
        bank_momentum=BANK_MOMENTUM,
        bn_group=GROUP,
        lr=LR,
        sgd_momentum=MU,
        weight_decay=DECAY,
        loss=loss,
        exclude_self=exclude_self,
    )
    losses = [oracle.step(*batch) for batch in bank_batches()]
    return trajectory(losses, {"query": oracle.query}, bank=oracle.bank)


def bank_vectorised(loss: BankLoss, exclude_self: bool, flaw: str = "") -> Trajectory:
    query = split(encoder(), flaw, "first_group").train()
    optimiser = optimiser_of(list(query.parameters()))
    bank, z = start(IMAGES), torch.zeros(())
    old_share = 1 - BANK_MOMENTUM if flaw == "momentum swapped" else BANK_MOMENTUM
    losses = []
    for step, (x, index, draws) in enumerate(bank_batches()):
        out = query(x)
        q = F.normalize(out, dim=1)
        if flaw == "rows by position in the batch":
            index = torch.arange(BATCH)
        if flaw == "repeated draws dropped":
            draws = draws.unique()
        new = out if flaw == "update not normalised first" else q
        moved = old_share * bank[index] + (1 - old_share) * new
        if flaw != "row not normalised":
            moved = F.normalize(moved, dim=1)
        after = bank.clone()
        after[index] = moved.detach()
        positives = after if flaw == "positive after the update" else bank
        negatives = after if flaw == "negatives after the update" else bank
        if flaw == "gradient through the updated row":
            positives = bank.index_copy(0, index, moved)
        scores = torch.cat([(q * positives[index]).sum(1, keepdim=True), q @ negatives[draws].T], 1)
        logits = scores / TEMPERATURE
        own = F.pad(index[:, None] == draws[None], (1, 0))
        if exclude_self == (flaw == "own row treated the other way"):
            own = torch.zeros_like(own)
        count = len(draws)
        if loss == "nce":
            if step == 0 or flaw == "Z estimated at each step":
                seen = logits[:, 1:] if flaw == "Z without the positives" else logits
                z = IMAGES * seen.exp().mean()
                if flaw == "Z of a sum in place of a mean":
                    z = seen.exp().sum(1).mean()
                if flaw != "gradient through Z":
                    z = z.detach()
            elif flaw == "Z as a moving average":
                z = 0.9 * z + 0.1 * IMAGES * logits.detach().exp().mean()
            z = z.detach() if step else z
            noise = (1 if flaw == "noise of one draw" else count) / IMAGES
            if flaw == "noise of the draws that are kept":
                kept = (count - own.sum(1, keepdim=True)) / IMAGES
                odds = logits - z.log() - kept.log()
            else:
                odds = logits - z.log() - math.log(noise)  # ln P / (m P_n); h = sigmoid
            terms = F.softplus(odds).masked_fill(own, 0.0)
            terms[:, 0] = F.softplus(-odds[:, 0])
            each = terms.sum(1)
            if flaw == "mean over the negatives":
                each = terms[:, 0] + terms[:, 1:].mean(1)
            total = each.mean()
        else:
            logits = logits.masked_fill(own, -math.inf)
            total = F.cross_entropy(logits, torch.zeros(BATCH, dtype=torch.int64))
            if flaw == "positive left out of the denominator":
                total = (logits[:, 1:].logsumexp(1) - logits[:, 0]).mean()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        if flaw == "update by the trained encoder":
            with torch.no_grad():
                late = F.normalize(copy.deepcopy(query)(x), dim=1)
                after[index] = F.normalize(old_share * bank[index] + (1 - old_share) * late, dim=1)
        if flaw != "bank never updated":
            bank = after
        losses.append(total.item())
    return trajectory(losses, {"query": query}, bank=bank)


@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize("loss", ["info_nce", "nce"])
def test_bank_vectorised_agrees(loss: BankLoss, exclude_self: bool) -> None:
    ours = bank_by_oracle(loss, exclude_self)
    difference = apart(ours, bank_vectorised(loss, exclude_self))
    assert max(difference.values()) < 1e-10, difference


BANK_FLAWS = [
    "rows by position in the batch",
    "repeated draws dropped",
    "momentum swapped",
    "update not normalised first",
    "row not normalised",
    "update by the trained encoder",
    "bank never updated",
    "positive after the update",
    "negatives after the update",
    "gradient through the updated row",
    "own row treated the other way",
    "one group",
]
NCE_FLAWS = [
    "Z estimated at each step",
    "Z as a moving average",
    "Z without the positives",
    "Z of a sum in place of a mean",
    "gradient through Z",
    "noise of one draw",
    "mean over the negatives",
]


@pytest.mark.parametrize(
    ("flaw", "loss", "exclude_self"),
    [
        *itertools.product(BANK_FLAWS, ["info_nce", "nce"], [False, True]),
        *itertools.product(NCE_FLAWS, ["nce"], [False, True]),
        ("noise of the draws that are kept", "nce", True),
        ("positive left out of the denominator", "info_nce", True),
    ],
)
def test_a_bank_flaw_shows_in_the_losses(flaw: str, loss: BankLoss, exclude_self: bool) -> None:
    ours = bank_by_oracle(loss, exclude_self)
    difference = apart(ours, bank_vectorised(loss, exclude_self, flaw))
    assert difference["loss"] > 1e-3, difference


def orders() -> list[Tensor]:
    draw = torch.Generator().manual_seed(6)
    return [torch.randperm(BATCH, generator=draw) for _ in batches()]


@functools.cache
def symmetric_by_oracle(size: int) -> Trajectory:
    oracle = SymmetricMocoOracle(
        encoder(),
        queue=start(size),
        momentum=MOMENTUM,
        temperature=TEMPERATURE,
        bn_group=GROUP,
        lr=LR,
        sgd_momentum=MU,
        weight_decay=DECAY,
        running_stats="mean",
    )
    losses = [oracle.step(*b, o) for b, o in zip(batches(), orders(), strict=True)]
    return trajectory(losses, {"query": oracle.query, "key": oracle.key}, queue=oracle.queue)


def symmetric_vectorised(size: int, flaw: str = "") -> Trajectory:
    query = split(encoder(), flaw, "mean").train()
    key = copy.deepcopy(query)
    optimiser = optimiser_of(list(query.parameters()))
    queue, first = start(size), 0

    def enqueue(keys: Tensor) -> None:
        nonlocal first
        queue[(first + torch.arange(len(keys))) % size] = keys
        first = (first + len(keys)) % size

    def term(q: Tensor, k: Tensor) -> Tensor:
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.clone().T], 1) / TEMPERATURE
        return F.cross_entropy(logits, torch.zeros(BATCH, dtype=torch.int64))

    losses = []
    for (x1, x2, order_2), order_1 in zip(batches(), orders(), strict=True):
        if flaw == "one permutation for both":
            order_1 = order_2
        if flaw == "query run over both views at once":
            q1, q2 = F.normalize(query(torch.cat([x1, x2])), dim=1).split(BATCH)
        elif flaw == "view 2's queries first":
            q2, q1 = F.normalize(query(x2), dim=1), F.normalize(query(x1), dim=1)
        else:
            q1, q2 = F.normalize(query(x1), dim=1), F.normalize(query(x2), dim=1)
        with torch.no_grad():
            k2 = F.normalize(key(x2[order_2]), dim=1)[order_2.argsort()]
            if flaw == "key encoder moved twice":
                average(key, query, MOMENTUM)
            k1 = F.normalize(key(x1[order_1]), dim=1)[order_1.argsort()]
        if flaw == "keys of the same view":
            k1, k2 = k2, k1
        loss = term(q1, k2)
        if flaw == "enqueued between the terms":
            enqueue(k2)
        loss = loss + term(q2, k1)
        if flaw == "mean of the terms":
            loss = loss / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        average(key, query, MOMENTUM)
        if flaw == "enqueued between the terms":
            enqueue(k1)
        elif flaw == "view 2's keys enqueued first":
            enqueue(torch.cat([k2, k1]))
        elif flaw == "view 2's keys enqueued alone":
            enqueue(k2)
        else:
            enqueue(torch.cat([k1, k2]))
        losses.append(loss.item())
    return trajectory(losses, {"query": query, "key": key}, queue=queue)


@pytest.mark.parametrize("size", [2 * BATCH, 4 * BATCH, 21, 37])
def test_symmetric_vectorised_agrees(size: int) -> None:
    difference = apart(symmetric_by_oracle(size), symmetric_vectorised(size))
    assert max(difference.values()) < 1e-11, difference


@pytest.mark.parametrize(
    "flaw",
    [
        "one permutation for both",
        "key encoder moved twice",
        "keys of the same view",
        "enqueued between the terms",
        "mean of the terms",
        "view 2's keys enqueued first",
        "view 2's keys enqueued alone",
        "one group",
    ],
)
def test_a_symmetric_flaw_shows_in_the_losses(flaw: str) -> None:
    size = 21  # no multiple of the keys of a step
    difference = apart(symmetric_by_oracle(size), symmetric_vectorised(size, flaw))
    assert difference["loss"] > 1e-3, difference


@pytest.mark.parametrize(
    ("flaw", "where"),
    [
        ("query run over both views at once", "query statistics"),
        ("view 2's queries first", "query statistics"),
        ("view 2's keys enqueued first", "queue"),
    ],
)
def test_a_symmetric_flaw_hidden_from_the_losses_shows_elsewhere(flaw: str, where: str) -> None:
    size = 4 * BATCH  # whole steps, whatever their order, are the same queue to the loss
    difference = apart(symmetric_by_oracle(size), symmetric_vectorised(size, flaw))
    assert difference["loss"] < 1e-11, difference
    assert difference[where] > 1e-3, difference
