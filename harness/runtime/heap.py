"""Keep the memory that a step frees, for the next step.

By default glibc requests every large block from the kernel and returns it when it is freed. The
kernel then has to clear new pages for each step's tensors.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # malloc.h's M_TRIM_THRESHOLD and M_MMAP_MAX
_NEVER = -1


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Let glibc keep what the main thread frees; returns whether this was set.

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
