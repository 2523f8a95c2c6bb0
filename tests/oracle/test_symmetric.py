"""The symmetric loss's oracle against numbers by hand, a vectorised form, and planted flaws."""

from __future__ import annotations

import copy
import functools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .moco import MocoOracle
from .symmetric import SymmetricMocoOracle
from .test_flaws import BATCH, GROUP, average, batches, encoder, split, start
from .test_oracle import Mean, images_pointing, normed, two_views
from .trajectories import (
    DECAY,
    LR,
    MOMENTUM,
    MU,
    TEMPERATURE,
    Trajectory,
    X,
    Y,
    Z,
    apart,
    optimiser_of,
    trajectory,
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
