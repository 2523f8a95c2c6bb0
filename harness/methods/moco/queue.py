"""The dictionary as a queue of keys: the newest batch replaces the oldest (v1 Sec. 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.runtime import keyed


class Queue(nn.Module):
    """K keys of width C, float32, first in, first out; any K works with any batch.

    It starts with random unit vectors (code: builder.py). Real keys replace them in K/batch steps.
    """

    keys: Tensor

    def __init__(self, size: int, dim: int, seed: int) -> None:
        super().__init__()
        self.register_buffer("keys", keyed.unit_rows(size, dim, seed, "queue"))
        self.pointer = 0

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Add `keys` (N, C) in order; if N > K only the last K are kept."""
        size = self.keys.shape[0]
        first = (self.pointer + max(0, len(keys) - size)) % size
        keys = keys[-size:]
        head = min(len(keys), size - first)
        self.keys[first : first + head] = keys[:head]
        self.keys[: len(keys) - head] = keys[head:]
        self.pointer = (first + len(keys)) % size

    def get_extra_state(self) -> dict[str, int]:
        return {"pointer": self.pointer}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.pointer = state["pointer"]
