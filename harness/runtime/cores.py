"""CPU threads: the training thread computes on all cores of its process, helpers on one each.

torch gives every thread that computes its own thread team. If all teams together have more threads
than there are cores, idle threads sleep instead of spinning. An operation then starts ten times as
slowly.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch


def keep_cores() -> None:
    """Keep this thread's number of cores; call it before the first helper starts."""
    torch.set_num_threads(torch.get_num_threads())


def helpers(workers: int, name: str) -> ThreadPoolExecutor:
    """Threads that compute on one core each."""
    return ThreadPoolExecutor(workers, thread_name_prefix=name, initializer=_one_core)


def _one_core() -> None:
    torch.get_num_threads()  # else torch sets the thread's number from the others' at its first use
    torch.set_num_threads(1)
