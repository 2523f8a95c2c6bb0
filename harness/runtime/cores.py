"""Who computes on how many cores: the thread that trains on all of its process's, helpers on one.

torch gives every thread that computes a team of its own, and where the teams together outnumber the
cores, none waits actively for its work any more: an operation then starts ten times as slowly.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch


def keep_cores() -> None:
    """Keep this thread's cores, whatever helpers are told; call it before the first of them."""
    torch.set_num_threads(torch.get_num_threads())


def helpers(workers: int, name: str) -> ThreadPoolExecutor:
    """Threads that compute on one core each."""
    return ThreadPoolExecutor(workers, thread_name_prefix=name, initializer=_one_core)


def _one_core() -> None:
    torch.get_num_threads()  # else torch would give the thread the others' number at its first use
    torch.set_num_threads(1)
