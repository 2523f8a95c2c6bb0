"""Median times of things measured in turns, so that disturbances affect all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

Act = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds of one thing over all rounds."""

    median: float
    low: float
    """The fastest round."""
    high: float
    """The slowest round."""
    rounds: int

    def over(self, parts: int) -> Timing:
        """Seconds of one of `parts` equal parts."""
        return Timing(self.median / parts, self.low / parts, self.high / parts, self.rounds)


@dataclass(frozen=True)
class Timed:
    """What is timed, and an untimed preparation before each time."""

    act: Act
    before: Act | None = None


def measure(
    things: Mapping[str, Act | Timed], device: torch.device, *, rounds: int, warm_up: int
) -> dict[str, Timing]:
    """Time each thing once per round, in turns; the first `warm_up` rounds are discarded.

    On CUDA, all kernels are done before each start and each end.

    Raises:
        ValueError: no round is left for a median.
    """
    if rounds < 1:
        raise ValueError("a median needs at least one round")
    timed = {name: t if isinstance(t, Timed) else Timed(t) for name, t in things.items()}
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(warm_up + rounds):
        for name, each in timed.items():
            if each.before is not None:
                each.before()
            _settle(device)
            began = time.perf_counter()
            each.act()
            _settle(device)
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - began)
    return {
        name: Timing(median(found), min(found), max(found), len(found))
        for name, found in seconds.items()
    }


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
