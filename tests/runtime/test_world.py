"""Each collective against plain indexing of the global batch, and what a loss looks like."""

from __future__ import annotations

import copy
import math
import re
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from gloo import Pool
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from harness.runtime.world import AT_ONCE, World

N = 4
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.uint8, torch.bool, torch.int16]
SHAPES: list[tuple[int, ...]] = [(), (3,), (3, 2, 2)]

sizes = pytest.mark.parametrize("size", [1, 2, 4, 8])


def batch(rows: int, *shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, *shape, generator=generator, dtype=torch.float64) * 100


def permutation(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def gathers(world: World, shape: tuple[int, ...]) -> dict[str, int]:
    for dtype in DTYPES:
        x = batch(N * world.size, *shape).to(dtype)
        found = world.gather(world.share(x).requires_grad_(dtype.is_floating_point))
        assert torch.equal(found, x)
        assert found.dtype == dtype
        assert not found.requires_grad
    x = batch(3, N * world.size).t()  # not contiguous
    assert torch.equal(world.gather(world.share(x)), x)
    return world.moved


@sizes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gather_returns_the_global_batch(gloo: Pool, size: int, shape: tuple[int, ...]) -> None:
    gloo.run(gathers, size, shape)


def exchanges(world: World, shape: tuple[int, ...], seed: int) -> int:
    n = N * world.size
    there = permutation(n, seed)
    for dtype in DTYPES:
        x = batch(n, *shape).to(dtype)
        found = world.exchange(world.share(x), there)
        assert torch.equal(found, world.share(x[there]))
        assert found.dtype == dtype
        assert torch.equal(world.exchange(found, there.argsort()), world.share(x))
    return world.moved.get("exchange", 0)


@sizes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_exchange_is_indexing(gloo: Pool, size: int, shape: tuple[int, ...], seed: int) -> None:
    moved = gloo.run(exchanges, size, shape, seed)
    there = permutation(N * size, seed)
    elsewhere = there // N != torch.arange(N * size) // N
    images = int(elsewhere.sum())  # and as many back
    row = torch.Size(shape).numel() * sum(dtype.itemsize for dtype in DTYPES)
    assert sum(moved) == 2 * images * row


def exchange_corners(world: World) -> None:
    n = N * world.size
    x = batch(n, 3, 4, 5).to(memory_format=torch.channels_last)
    for there in (torch.arange(n), torch.arange(n).flip(0), torch.arange(n).roll(1)):
        found = world.exchange(world.share(x), there)
        assert torch.equal(found, world.share(x[there]))
        assert found.is_contiguous(memory_format=torch.channels_last)
    repeated = torch.zeros(n, dtype=torch.int64)
    assert torch.equal(world.exchange(world.share(x), repeated), world.share(x[repeated]))
    none = world.exchange(torch.empty(0, 3), torch.empty(0, dtype=torch.int64))
    assert none.shape == (0, 3)
    with pytest.raises(ValueError, match=f"{n} images"):
        world.exchange(world.share(x), torch.arange(n + 1))


@sizes
def test_exchange_of_whatever_order(gloo: Pool, size: int) -> None:
    gloo.run(exchange_corners, size)


class Contrast(nn.Module):
    """Both encoders learn; the loss of rank r is the mean over its own queries."""

    def __init__(self, world: World) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.query, self.key = nn.Linear(6, 5).double(), nn.Linear(6, 5).double()
        self.world = world

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        q = F.normalize(self.query(x1), dim=1)
        k = self.world.gather_with_gradient(F.normalize(self.key(x2).tanh(), dim=1))
        own = self.world.share(torch.arange(len(k)))
        return F.cross_entropy(q @ k.t() / 0.1, own)


def gradients(world: World, rows: int) -> list[Tensor]:
    model = Contrast(world)
    x1, x2 = batch(rows, 6, seed=1) / 50, batch(rows, 6, seed=2) / 50
    model(world.share(x1), world.share(x2)).backward()
    found = [p.grad for p in model.parameters() if p.grad is not None]
    world.mean_(found)
    return found


@sizes
def test_gradient_of_the_global_loss(gloo: Pool, size: int) -> None:
    expected = gradients(World.alone(torch.device("cpu")), 16)
    assert len(expected) == 4
    assert all(g.abs().max() > 1e-3 for g in expected)
    for found in gloo.run(gradients, size, 16):
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def as_ddp(world: World) -> tuple[Tensor, Tensor]:
    """The gradients of 400 numbers by DDP, and by a plain backward pass and a mean."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 8))
    x, found = world.share(batch(8 * world.size, 16).float()), []
    with world.guard("wrapping"):
        wrapped = DistributedDataParallel(copy.deepcopy(model))
    for one in (wrapped, model):
        with world.guard("backward"):
            one(x).square().mean().backward()
        found.append([p.grad for p in one.parameters() if p.grad is not None])
    world.mean_(found[1])
    theirs, ours = (torch.cat([each.reshape(-1) for each in grads]) for grads in found)
    return theirs, ours


def test_the_mean_of_gradients_by_two_is_that_of_ddp_to_the_bit(gloo: Pool) -> None:
    for theirs, ours in gloo.run(as_ddp, 2):
        assert theirs.abs().max() > 0.1
        assert torch.equal(theirs, ours)


def reduces(world: World) -> dict[str, int]:
    ranks = list(range(world.size))
    assert world.sum(torch.tensor([world.rank, 1])).tolist() == [sum(ranks), world.size]
    x = batch(4, 3)[:, 1]
    torch.testing.assert_close(world.sum(x), x * world.size)
    assert world.any(world.rank == world.size - 1)
    assert not world.any(False)
    singles, doubles, counts = torch.empty(0), batch(2, 3), torch.tensor(world.rank)
    tensors = [singles, doubles + world.rank, torch.full((2, 2), float(world.rank)).t()]
    world.mean_(tensors)
    mean = sum(ranks) / world.size
    torch.testing.assert_close(tensors[1], doubles + mean)
    assert torch.equal(tensors[2], torch.full((2, 2), mean))
    source = world.size - 1
    flags = torch.tensor([world.rank == source, True])
    world.broadcast_([counts, flags, *tensors], source)
    assert (counts.item(), flags.tolist()) == (source, [True, True])
    world.mean_([])
    world.barrier()
    world.same("recipe 1")
    return world.moved


@sizes
def test_sums_means_and_broadcasts(gloo: Pool, size: int) -> None:
    moved = gloo.run(reduces, size)
    if size == 1:
        assert moved == [{}]
    else:
        parts = 8 * -(-6 // size) + 4 * -(-4 // size)  # of 6 doubles and 4 singles
        assert all(m["mean"] == 2 * parts * (size - 1) for m in moved)
        assert [m["broadcast"] > 0 for m in moved] == [False] * (size - 1) + [True]


NUMBERS = 4001


def values(rank: int) -> Tensor:
    """Of all sizes, so that another order of adding shows."""
    generator = torch.Generator().manual_seed(rank)
    return torch.randn(NUMBERS, generator=generator) * 10 ** torch.randn(
        NUMBERS, generator=generator
    )


def sums_of(world: World, order: Tensor) -> list[Tensor]:
    """All float sums, of values in that order: the sum, the mean, and a gathered gradient."""
    mine = values(world.rank)[order]
    mean = mine.clone()
    world.average_(mean)
    x = torch.zeros(NUMBERS, requires_grad=True)
    rows = world.gather_with_gradient(x.view(1, -1))
    (rows * mine).sum().backward()
    assert x.grad is not None
    single = torch.stack([world.sum(each) for each in mine[:20]])
    return [world.sum(mine), mean, x.grad, single]


@pytest.mark.parametrize("size", [2, 3, 4, 8])
def test_a_sum_has_the_same_bits_wherever_its_values_lie(gloo: Pool, size: int) -> None:
    order = permutation(NUMBERS, 0)
    total, mean = torch.zeros(NUMBERS), torch.zeros(NUMBERS)
    for rank in range(size):
        total += values(rank)
        mean += values(rank) / size
    for where in (torch.arange(NUMBERS), order, torch.arange(NUMBERS).flip(0)):
        for found in gloo.run(sums_of, size, where):
            expected = [total[where], mean[where], total[where], total[where][:20]]
            for ours, theirs in zip(found, expected, strict=True):
                assert torch.equal(ours, theirs)


def spreads(world: World) -> Tensor:
    x = torch.ones(AT_ONCE + 7)
    if world.rank == 1:
        x[2], x[-2] = math.inf, math.nan
    world.average_(x)
    world.average_(torch.empty(0))
    return x


def test_what_is_not_finite_on_one_rank_is_so_on_all(gloo: Pool) -> None:
    for found in gloo.run(spreads, 3):
        assert found.isinf().nonzero().tolist() == [[2]]
        assert found.isnan().nonzero().tolist() == [[AT_ONCE + 5]]
        assert (found[3:-2] - 1).abs().max() < 1e-6


def waits(world: World, folder: Path) -> int:
    time.sleep(0.05 * world.rank)
    (folder / str(world.rank)).touch()
    world.barrier()
    return len(list(folder.iterdir()))


def test_barrier_waits_for_all(gloo: Pool, tmp_path: Path) -> None:
    assert gloo.run(waits, 4, tmp_path) == [4] * 4


def disagrees(world: World, how: str) -> None:
    odd = world.rank == 1
    if how == "recipe":
        world.same("b" if odd else "a", "the recipe")
    if how == "rows":
        world.gather(torch.zeros(2 + odd, 3))
    if how == "dtype":
        world.gather_with_gradient(torch.zeros(2, dtype=torch.float64 if odd else torch.float32))
    if how == "order":
        world.exchange(torch.zeros(1), torch.arange(world.size).roll(int(odd)))
    ours = {"a": torch.zeros(3, 2).t(), "b": torch.tensor(1), "c": torch.zeros(2).bfloat16()}
    world.same_tensors(ours, "what is the same")
    if how == "bits":
        ours["c"][1] = -0.0 if odd else 0.0
        world.same_tensors(ours, "the weights")
    if how == "names":
        world.same_tensors({f"{world.rank}": ours["a"]}, "the weights")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("recipe", "disagree on the recipe: rank 0, 2, 3: a; rank 1: b. Start"),
        ("rows", r"batch of 'gather': rank 0, 2, 3: \(2, 3\) torch.float32; rank 1: \(3, 3\)"),
        ("dtype", "'gather_with_gradient': .*float32; rank 1: .*float64"),
        ("bits", r"on the weights: c on rank 1 .* rank 0 \(1 of 3 tensors"),
        ("names", "on the names of the weights: rank 0: 0; rank 1: 1"),
        ("order", r"'exchange': .*\[0, 1, 2, 3\]; rank 1: .*\[3, 0, 1, 2\]"),
    ],
)
def test_ranks_that_disagree_are_told_so(gloo: Pool, how: str, message: str) -> None:
    for outcome in gloo.outcomes(disagrees, 4, how):
        assert outcome.kind == "HarnessError"
        assert re.search(message, outcome.message), outcome.message
