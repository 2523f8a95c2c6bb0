"""The same bits again: what an exact resume needs besides keyed randomness."""

from __future__ import annotations

import os

import torch
from torch.utils import deterministic


def make_deterministic() -> None:
    """Choose deterministic kernels, for this process; call it before the first CUDA kernel."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Else every new tensor would be filled, to show who reads what nobody wrote: nothing here does.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    # fp32 means float32: TF32, which CUDA would take for convolutions, keeps 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
