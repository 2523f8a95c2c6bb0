"""Settings of a process before its first operation."""

from __future__ import annotations

import os

import torch
from torch.utils import deterministic

from harness.runtime.cores import keep_cores
from harness.runtime.heap import keep_freed_memory


def set_up_process(device: torch.device) -> None:
    """Set deterministic kernels, this thread's cores and, on a CPU, kept freed memory. Call it on
    the training thread, before helpers or CUDA kernels start. It cannot be undone."""
    make_deterministic()
    keep_cores()
    if device.type == "cpu":
        keep_freed_memory()


def make_deterministic() -> None:
    """Choose deterministic kernels for this process, before its first CUDA kernel. An exact resume
    needs them besides keyed randomness."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Else torch fills every new tensor, to expose reads of unset memory: there are none here.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    # fp32 means float32: TF32, CUDA's default for convolutions, keeps only 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
