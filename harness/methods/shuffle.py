"""Shuffling BN: the keys' batch-norm groups hold other images than the queries' groups.

Without it a query and its key share a group, whose statistics reveal the pair (v1 Sec. 3.3).
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from harness.runtime import keyed

AT_ONCE = 32
"""Steps whose permutations are drawn together. One by one, they cost a small model as much time
as its loss."""


def order(seed: int, step: int, n: int, view: int = 1) -> tuple[Tensor, Tensor]:
    """(there, back), each int64 (n,) on the CPU: x[there] is shuffled, and k[back] undoes it.

    n is the global batch; `view` gives the two shuffles of a symmetric step different keys. Both
    tensors are views of a cache for the next steps: do not modify them.
    """
    block, place = divmod(step, AT_ONCE)
    there, back = _orders(seed, block, n, view)
    return there[place], back[place]


@functools.lru_cache(4)
def _orders(seed: int, block: int, n: int, view: int) -> tuple[Tensor, Tensor]:
    """The permutations of steps block * AT_ONCE and following, each (AT_ONCE, n)."""
    steps = range(block * AT_ONCE, (block + 1) * AT_ONCE)
    there = keyed.permutations([keyed.key(seed, "shuffle", step, view) for step in steps], n)
    back = torch.empty_like(there)
    return there, back.scatter_(1, there, torch.arange(n).expand_as(there))
