"""CPU threads of a process that runs a stage: chosen once, and kept when the stage resumes.

Another number of threads adds numbers up in another order, and so changes the last bits of a result
on the CPU. So a stage that resumes computes with the threads of its first attempt, and a new one
with those of its parent, or of the other stages of its plan.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any

from harness.errors import StoreError
from harness.runtime.environment import Placement
from harness.store import atomic, operating_system
from harness.store.layout import StageFolder


def use_threads(
    placement: Placement, device: str = "auto", folder: StageFolder | None = None, usual: int = 0
) -> None:
    """Set the number of torch's threads in this process, before it computes.

    On the CPU it is the recorded number, if there is one. Otherwise it is OMP_NUM_THREADS, or this
    process's share of the cores.

    Args:
        device: where the stage computes.
        folder: of the stage; its first attempt's number counts, else its parent's.
        usual: the number of its plan's other stages; 0: not known.
    """
    import torch

    kept = 0
    if device == "cpu" and folder is not None:
        kept = recorded(folder, placement.size) or usual
    if not kept:
        own = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        share = max(1, operating_system.cores() // placement.local_size)
        kept = int(own) if own.isdecimal() and int(own) else share
    torch.set_num_threads(kept)


def recorded(folder: StageFolder, processes: int) -> int:
    """The threads of each process in the stage's first attempt on the CPU, or in its parent's; 0 if
    none is recorded, or if it had another number of processes."""
    parent, attempts = None, list[Any]()
    with contextlib.suppress(StoreError):  # reported where the stage is run
        parent = folder.parent
    for path in (*folder.attempts(), *(parent.attempts() if parent else ())):
        with contextlib.suppress(StoreError):  # a damaged record says nothing
            attempts.append(atomic.read_json(path / "attempt.json"))
    for attempt in attempts:
        machine = attempt.get("machine") if isinstance(attempt, dict) else None
        if not isinstance(machine, dict) or machine.get("device") != "cpu":
            continue
        threads = machine.get("threads")
        same = attempt.get("processes") == processes
        return threads if same and isinstance(threads, int) and threads > 0 else 0
    return 0


def usual(folders: Iterable[StageFolder], processes: int) -> int:
    """The number that is recorded for the first of these stages that has one; 0 for none."""
    return next(filter(None, (recorded(folder, processes) for folder in folders)), 0)
