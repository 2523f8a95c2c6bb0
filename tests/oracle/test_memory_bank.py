"""The memory bank's oracle against numbers by hand, a vectorised form, and flaws planted in it."""

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

from .memory_bank import MemoryBankOracle
from .test_flaws import BATCH, GROUP, batches, encoder, split, start
from .test_oracle import Mean, images_pointing
from .trajectories import (
    DECAY,
    LR,
    MU,
    TEMPERATURE,
    Angle,
    Trajectory,
    X,
    Y,
    Z,
    apart,
    optimiser_of,
    trajectory,
    turned,
)

BankLoss = Literal["info_nce", "nce"]
BANK_MOMENTUM = 0.7  # not a half, so that swapped shares show
IMAGES, DRAWS = 24, 16


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
