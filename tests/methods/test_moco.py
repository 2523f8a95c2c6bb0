"""The mechanism against the oracle, written from the paper: step by step, tensor by tensor."""

import math
from collections.abc import Iterator
from typing import Literal

import pytest
import torch
from oracle.moco import MocoOracle

from harness.methods import shuffle
from harness.methods.moco.config import Moco
from harness.methods.moco.method import MoCo
from harness.model.encoder import build
from harness.model.running_statistics import RunningStats
from harness.recipe.schema import Model
from harness.runtime.optimiser import set_rate
from harness.runtime.schedule import rate
from harness.runtime.sgd.config import SgdOptim
from harness.runtime.sgd.optimiser import Sgd
from harness.runtime.world import World

from .plain import plain, same

N, GROUP, SIZE = 16, 4, 8
ALONE = World.alone(torch.device("cpu"))


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("running_stats", ["first_group", "mean"])
@pytest.mark.parametrize(("head", "queue"), [("fc", 37), ("mlp", 32)])
@pytest.mark.parametrize("shuffled", [True, False])
def test_trajectory_equals_the_oracles(
    running_stats: RunningStats, head: Literal["fc", "mlp"], queue: int, shuffled: bool
) -> None:
    model = Model(
        backbone="miniature", head=head, dim=16, bn_group=GROUP, running_stats=running_stats
    )
    contrast = Moco(kind="moco", queue=queue, momentum=0.9, temperature=0.2, shuffle=shuffled)
    optim = SgdOptim.model_validate_json(
        '{"epochs": 3, "batch": 16, "lr": 0.1, "weight_decay": 0.05, '
        '"schedule": {"kind": "cosine"}}'
    )
    seed = 3
    moco = MoCo(build(model, seed), contrast, dim=16, seed=seed, precision="fp32", world=ALONE)
    oracle = MocoOracle(
        plain(model, seed),
        queue=moco.queue.keys.clone(),
        momentum=0.9,
        temperature=0.2,
        bn_group=GROUP,
        lr=0.1,
        sgd_momentum=0.9,
        weight_decay=0.05,
        running_stats=running_stats,
    )
    optimiser = Sgd(moco.merge(), optim)
    draw = torch.Generator().manual_seed(1)
    for step in range(9):
        lr = rate(optim.schedule, optim.lr, step // 3, 3)
        set_rate(optimiser, lr)
        oracle.lr = 0.1 * 0.5 * (1 + math.cos(math.pi * (step // 3) / 3))
        x1, x2 = torch.randn(2, N, 3, SIZE, SIZE, generator=draw)
        optimiser.zero_grad()
        loss, _ = moco((x1, x2), torch.arange(N), step)
        loss.backward()
        optimiser.step()
        moco.after_step()
        there = shuffle.order(seed, step, N)[0] if shuffled else None
        expected = oracle.step(x1, x2, there)
        assert loss.item() == pytest.approx(expected, abs=1e-10), step
    same(moco.query, oracle.query)
    same(moco.key, oracle.key, statistics=False)
    torch.testing.assert_close(moco.queue.keys, oracle.queue, rtol=0, atol=1e-9)
    assert moco.queue.pointer == oracle.first_row == 9 * N % queue


def test_the_key_encoder_gets_no_gradient() -> None:
    model = Model(backbone="miniature", dim=16, bn_group=GROUP)
    moco = MoCo(
        build(model, 0),
        Moco(kind="moco", queue=32, momentum=0.9, temperature=0.2),
        dim=16,
        seed=0,
        precision="fp32",
        world=ALONE,
    )
    loss, _ = moco(tuple(torch.randn(2, N, 3, SIZE, SIZE)), torch.arange(N), 0)
    loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in moco.key.parameters())
    assert all(p.grad is not None for p in moco.query.parameters())


def test_following_without_a_forward_pass_is_refused() -> None:
    model = Model(backbone="miniature", dim=16, bn_group=GROUP)
    contrast = Moco(kind="moco", queue=32, momentum=0.9, temperature=0.2)
    moco = MoCo(build(model, 0), contrast, dim=16, seed=0, precision="fp32", world=ALONE)
    with pytest.raises(AssertionError):
        moco.after_step()
