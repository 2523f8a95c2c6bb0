"""Memory that a step frees stays with the process, for the next step.

glibc maps every large block anew and gives it back when it is freed, so that each step's tensors
meet pages that the kernel must clear first.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
_MOST = 2**31 - 1  # mallopt takes an int
_MOST_BEFORE = 2**25  # of glibc up to 2.34, which refuses more
_OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Let glibc keep what is freed, for this process; returns whether it does.

    Where the user has set glibc's malloc by its environment variables, or there is no glibc,
    nothing is changed.
    """
    if any(name in environment for name in _OWN_SETTINGS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows wants a name
        return False
    kept = mallopt(_MMAP_THRESHOLD, _MOST) or mallopt(_MMAP_THRESHOLD, _MOST_BEFORE)
    return bool(mallopt(_TRIM_THRESHOLD, _MOST) and kept)
