"""What a process settles before its first operation."""

from __future__ import annotations

import torch

from harness.runtime.cores import keep_cores
from harness.runtime.determinism import make_deterministic
from harness.runtime.heap import keep_freed_memory


def settle(device: torch.device) -> None:
    """Deterministic kernels, this thread's cores and, on a CPU, its freed memory; for good. The
    thread that trains calls it, before it starts helpers or a CUDA kernel."""
    make_deterministic()
    keep_cores()
    if device.type == "cpu":
        keep_freed_memory()
