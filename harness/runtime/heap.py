"""Memory that a step frees stays with the process, for the next step.

glibc gets every large block anew from the kernel, and gives it back when it is freed, so that each
step's tensors meet pages that the kernel must clear first.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # malloc.h's M_TRIM_THRESHOLD and M_MMAP_MAX
_NEVER = -1


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Let glibc keep what the main thread frees; returns whether it was told so.

    Where the user has set glibc's malloc by its environment variables, or there is no glibc,
    nothing is changed.
    """
    if any(name.startswith("MALLOC_") for name in environment):
        return False
    if "glibc.malloc." in environment.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows wants a name
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))
