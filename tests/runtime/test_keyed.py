from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harness.runtime.keyed import bits, generator, key, permutation, uniform

MASK = 2**64 - 1
INT64 = st.integers(-(2**63), 2**63 - 1)


def splitmix(x: int) -> int:
    """The finaliser of SplitMix64 as its authors wrote it, on Python's integers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def plain_bits(stream: int, index: int, draw: int) -> int:
    """The same as `bits`, one at a time; `draw` counts from 1."""
    golden = 0x9E3779B97F4A7C15
    inner = splitmix((index * golden + stream) & MASK)
    return splitmix((inner + draw * golden) & MASK)


def kolmogorov(sample: Tensor) -> float:
    """sqrt(n) times the largest distance to the uniform distribution; above 1.95 once in 1000."""
    x = sample.flatten().double().sort().values
    n = len(x)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    return math.sqrt(n) * max(float((steps[1:] - x).max()), float((x - steps[:-1]).max()))


@given(INT64, st.integers(0, 2**62), st.integers(1, 3))
def test_bits_are_splitmix64(stream: int, index: int, draws: int) -> None:
    found = bits(stream, torch.tensor([index]), draws)[0].tolist()
    assert [value & MASK for value in found] == [
        plain_bits(stream, index, draw) for draw in range(1, draws + 1)
    ]


@given(INT64, st.lists(st.integers(0, 2**40), min_size=1, max_size=20), st.integers(1, 5))
def test_a_value_is_its_own_arguments_alone(stream: int, indices: list[int], draws: int) -> None:
    index = torch.tensor(indices)
    whole = uniform(stream, index, draws)
    assert torch.equal(whole.flip(0), uniform(stream, index.flip(0), draws))
    assert torch.equal(whole[:1], uniform(stream, index[:1], draws))
    assert torch.equal(whole, uniform(stream, index, draws + 2)[:, :draws])
    assert torch.equal(whole, uniform(stream, index.view(-1, 1), draws)[:, 0])
    assert torch.equal(whole, uniform(stream, index.clone(), draws))


def test_golden_values() -> None:
    """Another value here is another run: raise SCHEMA_VERSION, or put the old ones back."""
    assert key(0, "order") == -6046246086475398395
    assert key("subset", "cifar10") == 7712963813496308669
    assert bits(key(0, "order"), torch.tensor([0, 1, 2**40]))[:, 0].tolist() == [
        260546229076304337,
        899423939260896061,
        -3615522377138451659,
    ]
    assert (2**24 * uniform(key(7, "crop", 3), torch.arange(2), 3)).tolist() == [
        [6265962, 11295920, 12075809],
        [2137554, 9636856, 384573],
    ]
    order = permutation(key(0, "order", 0), 12).tolist()
    assert order == [7, 0, 3, 11, 10, 1, 8, 6, 4, 5, 2, 9]
    weights = torch.randn(2, generator=generator(0, "weights")).tolist()
    assert weights == pytest.approx([-0.25324827, 0.03897925])


def test_keys_differ_by_every_part() -> None:
    parts: list[tuple[int | str, ...]] = [
        (0,), (1,), (-1,), (2**70,), ("0",), ("",), (), (0, 0), ("0", 0), (0, "0"), ("00",),
        (0, "order"), ("order", 0), (0, "orde", "r"), (1, 23), (12, 3), ("1", "23"), ("12", "3"),
    ]  # fmt: skip
    assert len({key(*part) for part in parts}) == len(parts)
    assert all(-(2**63) <= key(*part) < 2**63 for part in parts)


def test_many_keys_are_many() -> None:
    found = {key(seed, "order", epoch) for seed in range(100) for epoch in range(100)}
    assert len(found) == 10_000
    assert kolmogorov(torch.tensor([(value & MASK) / 2**64 for value in found])) < 1.95


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_uniform_is_uniform(name: str) -> None:
    found = uniform(key("test", name), torch.arange(50_000), 4)
    assert found.dtype == torch.float32
    assert found.shape == (50_000, 4)
    assert float(found.min()) >= 0
    assert float(found.max()) < 1
    for draw in range(4):
        assert kolmogorov(found[:, draw]) < 1.95


def test_uniform_over_keys_at_one_index() -> None:
    index = torch.tensor([3])
    found = [float(uniform(key("test", epoch), index)) for epoch in range(5000)]
    assert kolmogorov(torch.tensor(found)) < 1.95


def test_uniform_is_below_one_at_its_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.runtime.keyed.bits", lambda *_: torch.tensor([-1, 0]))
    assert uniform(0, torch.tensor(0)).tolist() == [1 - 2**-24, 0.0]


def test_neighbours_tell_nothing_of_each_other() -> None:
    """Correlation of n pairs of independent numbers has a deviation of 1/sqrt(n)."""
    n = 40_000
    index = torch.arange(n)
    found = uniform(key("test"), index, 2).double() - 0.5
    other = uniform(key("test", 1), index).double() - 0.5
    pairs = {
        "indices": (found[:-1, 0], found[1:, 0]),
        "draws": (found[:, 0], found[:, 1]),
        "diagonal": (found[1:, 0], found[:-1, 1]),
        "keys": (found[:, 0], other[:, 0]),
        "views": (found[0::2, 0], found[1::2, 0]),
    }
    for name, (x, y) in pairs.items():
        correlation = float((x * y).mean() / (x.std() * y.std()))
        assert abs(correlation) < 4 / math.sqrt(len(x)), name


def test_pairs_fill_the_square() -> None:
    """Chi-square over 16 x 16 cells: mean 255, deviation 22.6."""
    found = (uniform(key("square"), torch.arange(100_000), 2) * 16).long()
    counts = torch.bincount(found[:, 0] * 16 + found[:, 1], minlength=256).double()
    expected = 100_000 / 256
    assert 255 - 4 * 22.6 < float(((counts - expected) ** 2 / expected).sum()) < 255 + 4 * 22.6


@pytest.mark.parametrize("what", ["index", "key"])
def test_one_bit_in_changes_half_of_the_bits_out(what: str) -> None:
    flips = []
    for bit in range(62):
        at = torch.arange(200)
        one = bits(1234, at)
        other = bits(1234, at ^ (1 << bit)) if what == "index" else bits(1234 ^ (1 << bit), at)
        flips += [(value & MASK).bit_count() for value in (one ^ other).flatten().tolist()]
    assert sum(flips) / len(flips) == pytest.approx(32, abs=0.2)


def test_no_two_images_share_their_bits() -> None:
    found = bits(key("test"), torch.arange(20_000), 8).flatten()
    assert len(found.unique()) == len(found)


@given(INT64, st.integers(0, 300))
def test_a_permutation_is_one(stream: int, n: int) -> None:
    found = permutation(stream, n)
    assert found.dtype == torch.int64
    assert found.sort().values.tolist() == list(range(n))
    assert torch.equal(found, permutation(stream, n))


def test_permutations_are_all_as_likely() -> None:
    """Chi-square over the 24 orders of 4: mean 23, deviation 6.8."""
    rounds = 4800
    counts = Counter(tuple(permutation(key("test", n), 4).tolist()) for n in range(rounds))
    assert len(counts) == 24
    expected = rounds / 24
    assert sum((c - expected) ** 2 / expected for c in counts.values()) < 23 + 4 * 6.8


def test_epochs_have_orders_of_their_own() -> None:
    orders = [permutation(key(0, "order", epoch), 1000) for epoch in range(5)]
    for n, one in enumerate(orders):
        for other in orders[:n]:
            assert int((one == other).sum()) < 10


def test_a_generator_is_its_key() -> None:
    drawn = [torch.randn(4, generator=generator(*parts)) for parts in ((0,), (0,), (1,), ("0",))]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[3])


@pytest.mark.gpu
def test_a_gpu_draws_the_same() -> None:
    index = torch.arange(10_000)
    assert torch.equal(uniform(key("test"), index.cuda(), 5).cpu(), uniform(key("test"), index, 5))
