"""Settings of a process before its first operation."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

import torch
from torch.utils import deterministic

from harness.runtime.cores import keep_cores

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # malloc.h's M_TRIM_THRESHOLD and M_MMAP_MAX
_NEVER = -1


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


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Let glibc keep what the main thread frees, for the next step; returns whether this was set.

    By default glibc requests every large block from the kernel and returns it when it is freed. The
    kernel then has to clear new pages for each step's tensors.

    Nothing changes if the user has set glibc's malloc by its environment variables, or if there is
    no glibc.
    """
    if any(name.startswith("MALLOC_") for name in environment):
        return False
    if "glibc.malloc." in environment.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows needs a library name
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))
