"""Shuffling BN: the key batch meets other images in its BN group than the query batch did.

Without it query and key share a group, whose statistics give the pair away (v1 Sec. 3.3).
"""

from __future__ import annotations

from torch import Tensor

from harness.runtime import keyed


def order(seed: int, step: int, n: int, view: int = 1) -> tuple[Tensor, Tensor]:
    """(there, back), each (n,) int64 on the CPU: x[there] is shuffled, and k[back] undoes it.

    n is the global batch; `view` tells the two shuffles of a symmetric step apart.
    """
    there = keyed.permutation(keyed.key(seed, "shuffle", step, view), n)
    return there, there.argsort()
