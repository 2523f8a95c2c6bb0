"""Compare the steps of several processes with those of one, on the same cores or GPUs."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from harness.bench.clock import Timed, Timing, measure
from harness.bench.result import ALONE, SHARED
from harness.bench.step import Steps, whole_blocks
from harness.store import operating_system


def sharing(
    made: Mapping[int, Steps], *, steps: int, rounds: int, warm_up: int
) -> dict[str, Timing]:
    """Seconds per step of the loop, with its input, in turns: ALONE, by the first process on all
    cores while the others wait, and SHARED, by all.

    Every process calls it; only the first one's times are meaningful.

    Args:
        made: by number of processes: the steps that all of them share and, in the first process,
            those that it makes alone.
    """
    everyone = made[max(made)].context.world
    cores, own = operating_system.cores(), torch.get_num_threads()

    def begin(threads: int) -> None:
        everyone.barrier()
        if everyone.device.type == "cpu":
            torch.set_num_threads(threads)

    counts = {n: whole_blocks(each.training.loader, steps) for n, each in made.items()}

    def loop(processes: int) -> None:
        if processes in made:
            made[processes].loop(counts[processes])

    found = measure(
        {
            ALONE: Timed(lambda: loop(1), lambda: begin(max(cores, own))),
            SHARED: Timed(lambda: loop(everyone.size), lambda: begin(own)),
        },
        everyone.device,
        rounds=rounds,
        warm_up=warm_up,
    )
    of = {ALONE: counts.get(1, steps), SHARED: counts[everyone.size]}
    return {name: timing.over(of[name]) for name, timing in found.items()}
