"""What a process settles before its first operation."""

from __future__ import annotations

import os

import torch
from torch.utils import deterministic

from harness.runtime.cores import keep_cores
from harness.runtime.heap import keep_freed_memory


def set_up_process(device: torch.device) -> None:
    """Deterministic kernels, this thread's cores and, on a CPU, its freed memory; for good. The
    thread that trains calls it, before it starts helpers or a CUDA kernel."""
    make_deterministic()
    keep_cores()
    if device.type == "cpu":
        keep_freed_memory()


def make_deterministic() -> None:
    """Choose kernels that give the same bits again, which an exact resume needs besides keyed
    randomness; for this process, before its first CUDA kernel."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Else every new tensor would be filled, to show who reads what nobody wrote: nothing here does.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    # fp32 means float32: TF32, which CUDA would take for convolutions, keeps 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
