"""How long stages take that run several at once."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A stage's share of the work."""

    id: str
    parent: str | None
    """The id of the stage that must end first; it counts only if it is a part too."""
    seconds: float


def makespan(parts: Sequence[Part], at_once: int) -> float:
    """Seconds until the last stage ends, if whichever worker is free begins the first stage, in
    this order, whose parent has ended.

    Args:
        at_once: number of workers.
    """
    ids = {part.id for part in parts}
    children: dict[str, list[int]] = defaultdict(list)
    startable: list[int] = []  # a heap, as the first in order begins first
    for n, part in enumerate(parts):
        if part.parent in ids:
            children[str(part.parent)].append(n)
        else:
            startable.append(n)
    now, running = 0.0, list[tuple[float, int]]()
    while startable or running:
        while startable and len(running) < at_once:
            n = heapq.heappop(startable)
            heapq.heappush(running, (now + parts[n].seconds, n))
        now, ended = heapq.heappop(running)
        for n in children[parts[ended].id]:
            heapq.heappush(startable, n)
    return now
