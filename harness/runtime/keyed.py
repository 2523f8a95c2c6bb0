"""Randomness as a function of a key and a counter: there is no state to save or replay.

`uniform(key, index, draws)` depends on its arguments alone: not on the order of calls, the number
of workers or processes, or the device. A resumed run therefore draws the same numbers.
The bits are those of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) at given counters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

_GOLDEN = 0x9E3779B97F4A7C15
_MIX1 = 0xBF58476D1CE4E5B9
_MIX2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def key(*parts: int | str) -> int:
    """A 64-bit key (as a signed integer) for the stream that `parts` name, e.g. (seed, "order")."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _shift(x: Tensor, by: int) -> Tensor:
    """Logical right shift of int64 (torch's `>>` copies the sign)."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _signed(_MIX1)
    x = (x ^ _shift(x, 27)) * _signed(_MIX2)
    return x ^ _shift(x, 31)


def bits(key: int | Tensor, index: Tensor, draws: int = 1) -> Tensor:
    """Random bits, int64 of shape (*index.shape, draws), for each counter in `index` (int64).

    `key` may be an int64 tensor. The shape is then (*s, draws), where s is the broadcast shape of
    key and index.
    """
    draw = torch.arange(1, draws + 1, dtype=torch.int64, device=index.device)
    stream = _mix(index.to(torch.int64) * _signed(_GOLDEN) + key)
    return _mix(stream.unsqueeze(-1) + draw * _signed(_GOLDEN))


def uniform(key: int, index: Tensor, draws: int = 1) -> Tensor:
    """Uniform numbers in [0, 1), float32 of shape (*index.shape, draws), multiples of 2**-24."""
    return _shift(bits(key, index, draws), 40).to(torch.float32) * 2.0**-24


def integers(key: int, index: Tensor, n: int) -> Tensor:
    """Uniform integers in [0, n), int64 of index's shape (n far below 2**63, so without bias)."""
    return _shift(bits(key, index)[..., 0], 1) % n


def permutation(key: int, n: int) -> Tensor:
    """A permutation of range(n), int64 of shape (n,), always on the CPU."""
    return permutations([key], n)[0]


def permutations(keys: Sequence[int], n: int) -> Tensor:
    """Each key's permutation of range(n), int64 (keys, n); small ones cost little more than one."""
    each = torch.tensor(keys, dtype=torch.int64).unsqueeze(1)
    return torch.argsort(bits(each, torch.arange(n))[..., 0], stable=True)


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by the key of `parts`: for initial weights and the initial queue."""
    made = torch.Generator(device="cpu")
    made.manual_seed(key(*parts) & ((1 << 63) - 1))
    return made


def unit_rows(rows: int, width: int, *parts: int | str) -> Tensor:
    """Random unit rows, float32 (rows, width), of the stream that `parts` name."""
    return normalize(torch.randn(rows, width, generator=generator(*parts)), dim=1)
