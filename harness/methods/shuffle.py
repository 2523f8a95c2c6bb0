"""Shuffling BN: the key batch meets other images in its BN group than the query batch did.

Without it query and key share a group, whose statistics give the pair away (v1 Sec. 3.3).
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from harness.runtime import keyed

AT_ONCE = 32
"""Steps whose orders are drawn together: one by one they cost a small step as much as its loss."""


def order(seed: int, step: int, n: int, view: int = 1) -> tuple[Tensor, Tensor]:
    """(there, back), each (n,) int64 on the CPU: x[there] is shuffled, and k[back] undoes it.

    n is the global batch; `view` tells the two shuffles of a symmetric step apart. Both are views
    of what is kept for the next steps: leave them as they are.
    """
    block, place = divmod(step, AT_ONCE)
    there, back = _orders(seed, block, n, view)
    return there[place], back[place]


@functools.lru_cache(4)
def _orders(seed: int, block: int, n: int, view: int) -> tuple[Tensor, Tensor]:
    """Of the steps block * AT_ONCE and on, each (AT_ONCE, n)."""
    steps = range(block * AT_ONCE, (block + 1) * AT_ONCE)
    there = keyed.permutations([keyed.key(seed, "shuffle", step, view) for step in steps], n)
    back = torch.empty_like(there)
    return there, back.scatter_(1, there, torch.arange(n).expand_as(there))
