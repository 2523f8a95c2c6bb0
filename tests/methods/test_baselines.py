"""End-to-end, memory bank and symmetric MoCo against the oracles, step by step."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
import torch
from oracle.end_to_end import EndToEndOracle
from oracle.memory_bank import MemoryBankOracle
from oracle.symmetric import SymmetricMocoOracle

from harness.methods import shuffle
from harness.methods.end_to_end.config import EndToEnd
from harness.methods.end_to_end.method import EndToEndContrast
from harness.methods.mechanism import Mechanism
from harness.methods.memory_bank.config import MemoryBank
from harness.methods.memory_bank.method import BankContrast
from harness.methods.moco.config import Moco
from harness.methods.moco.method import MoCo
from harness.model.encoder import build
from harness.model.running_statistics import RunningStats
from harness.recipe.schema import Model
from harness.runtime import keyed
from harness.runtime.sgd.config import SgdOptim
from harness.runtime.sgd.optimiser import Sgd
from harness.runtime.world import World

from .plain import plain, same

N, GROUP, SIZE, STEPS, SEED = 12, 4, 8, 8, 5
ALONE = World.alone(torch.device("cpu"))
TRAINING: dict[str, Any] = {"bn_group": GROUP, "lr": 0.1, "sgd_momentum": 0.9, "weight_decay": 0.05}


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def model(running_stats: str = "first_group") -> Model:
    return Model.model_validate(
        {"backbone": "miniature", "dim": 16, "bn_group": GROUP, "running_stats": running_stats}
    )


def views(step: int) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(step)
    return tuple(torch.randn(2, N, 3, SIZE, SIZE, generator=draw))


class Training:
    """The mechanism with its optimiser."""

    def __init__(self, mechanism: Mechanism, views: int = 2) -> None:
        optim = SgdOptim.model_validate_json(
            '{"epochs": 1, "batch": 12, "lr": 0.1, "weight_decay": 0.05, '
            '"schedule": {"kind": "constant"}}'
        )
        self.mechanism, self.views = mechanism, views
        self.optimiser = Sgd(mechanism.merge(), optim)

    def step(self, step: int, index: torch.Tensor) -> float:
        self.optimiser.zero_grad()
        loss, _ = self.mechanism(views(step)[: self.views], index, step)
        loss.backward()
        self.optimiser.step()
        self.mechanism.after_step()
        return loss.item()


@pytest.mark.parametrize("running_stats", ["first_group", "mean"])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("shuffled", [True, False])
def test_end_to_end(running_stats: RunningStats, shared: bool, shuffled: bool) -> None:
    contrast = EndToEnd(kind="end_to_end", temperature=0.2, shared=shared, shuffle=shuffled)
    mechanism = EndToEndContrast(
        build(model(running_stats), SEED), contrast, seed=SEED, precision="fp32", world=ALONE
    )
    training = Training(mechanism)
    oracle = EndToEndOracle(
        plain(model(), SEED),
        None if shared else plain(model(), SEED),
        temperature=0.2,
        running_stats=running_stats,
        shared=shared,
        **TRAINING,
    )
    for step in range(STEPS):
        there = shuffle.order(SEED, step, N)[0] if shuffled else None
        one, other = views(step)
        expected = oracle.step(one, other, there)
        assert training.step(step, torch.arange(N)) == pytest.approx(expected, abs=1e-10), step
    same(mechanism.query, oracle.query)
    same(mechanism.key, oracle.key)


@pytest.mark.parametrize("loss", ["info_nce", "nce"])
@pytest.mark.parametrize("exclude_self", [True, False])
def test_memory_bank(loss: Literal["info_nce", "nce"], exclude_self: bool) -> None:
    images = 30
    contrast = MemoryBank.model_validate(
        {
            "kind": "memory_bank",
            "negatives": 21,
            "temperature": 0.3,
            "bank_momentum": 0.4,
            "exclude_self": exclude_self,
            "loss": loss,
        }
    )
    mechanism = BankContrast(
        build(model(), SEED),
        contrast,
        images=images,
        dim=16,
        seed=SEED,
        precision="fp32",
        world=ALONE,
    )
    training = Training(mechanism, views=1)
    oracle = MemoryBankOracle(
        plain(model(), SEED),
        bank=mechanism.bank.clone(),
        temperature=0.3,
        bank_momentum=0.4,
        loss=loss,
        exclude_self=exclude_self,
        **TRAINING,
    )
    met_itself = False
    for step in range(STEPS):
        index = keyed.permutation(keyed.key("index", step), images)[:N]
        drawn = mechanism.draws(step)
        met_itself |= bool(torch.isin(index, drawn).any())
        expected = oracle.step(views(step)[0], index, drawn)
        assert training.step(step, index) == pytest.approx(expected, abs=1e-9), step
    assert met_itself
    same(mechanism.query, oracle.query)
    torch.testing.assert_close(mechanism.bank, oracle.bank, rtol=0, atol=1e-9)
    if loss == "nce":
        assert mechanism.z.item() == pytest.approx(oracle.z)


def test_the_draws_are_uniform_and_a_function_of_seed_and_step() -> None:
    contrast = MemoryBank(kind="memory_bank", negatives=20_000, temperature=0.1)
    bank = BankContrast(
        build(model(), 0), contrast, images=50, dim=16, seed=1, precision="fp32", world=ALONE
    )
    counts = bank.draws(0).bincount(minlength=50)
    assert ((counts - 400) ** 2 / 400).sum() < 85.4  # chi-square, 49 dof, p = 0.001
    assert torch.equal(bank.draws(3), bank.draws(3))
    assert not torch.equal(bank.draws(3), bank.draws(4))


@pytest.mark.parametrize("queue", [24, 37])
def test_symmetric_moco(queue: int) -> None:
    contrast = Moco(kind="moco", queue=queue, momentum=0.9, temperature=0.2, symmetric=True)
    mechanism = MoCo(
        build(model(), SEED), contrast, dim=16, seed=SEED, precision="fp32", world=ALONE
    )
    training = Training(mechanism)
    oracle = SymmetricMocoOracle(
        plain(model(), SEED),
        queue=mechanism.queue.keys.clone(),
        momentum=0.9,
        temperature=0.2,
        **TRAINING,
    )
    for step in range(STEPS):
        there = [shuffle.order(SEED, step, N, view)[0] for view in (1, 0)]
        assert not torch.equal(*there)
        expected = oracle.step(*views(step), *there)
        assert training.step(step, torch.arange(N)) == pytest.approx(expected, abs=1e-10), step
    same(mechanism.query, oracle.query)
    same(mechanism.key, oracle.key, statistics=False)
    torch.testing.assert_close(mechanism.queue.keys, oracle.queue, rtol=0, atol=1e-9)
