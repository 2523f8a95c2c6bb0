"""One process works alone for longer than the others would wait in a collective."""

from __future__ import annotations

import os
import time

import pytest
import torch
from gloo import Died, Failed, Pool

from harness.runtime.world import World
from harness.stage import collective_wait
from harness.stage.context import Interrupted

TIMEOUT_S = 4.0
"""Of a collective, in the tests below: a busy machine lets a process wait for seconds."""


def works(world: World, slow: int, how: str) -> int:
    """The process `slow` takes longer than a collective would wait."""
    collective_wait.ROUND_S = 0.1
    done = [False]

    def work() -> int:
        if world.rank == slow:
            time.sleep(1.5 * TIMEOUT_S)
            if how == "dies":
                os._exit(3)
            if how == "fails":
                raise ValueError("no such data")
        done[0] = True
        return 10 + world.rank

    def stopping() -> bool:
        return how == "stops" and world.rank == 1

    try:
        return collective_wait.first_alone(work, world, stopping)
    except Interrupted:
        assert not (done[0] and world.rank == slow)
        return -1


@pytest.mark.parametrize("slow", [0, 1])
def test_the_others_wait(gloo: Pool, slow: int) -> None:
    assert gloo.outcomes(works, 3, slow, "", wait_s=TIMEOUT_S) == [10, 11, 12]


def test_a_process_that_is_asked_to_stop_stops_all(gloo: Pool) -> None:
    assert gloo.outcomes(works, 2, 0, "stops", wait_s=TIMEOUT_S) == [-1, -1]


def test_a_process_that_dies_meanwhile_is_named(gloo: Pool) -> None:
    dead, other = gloo.outcomes(works, 2, 0, "dies", wait_s=TIMEOUT_S)
    assert dead == Died(3)
    assert other.kind == "LostPeer"
    assert "rank 0 died or hung" in other.message


def test_an_error_is_raised_where_it_happened(gloo: Pool) -> None:
    first, other = gloo.outcomes(works, 2, 0, "fails", wait_s=TIMEOUT_S)
    assert isinstance(first, Failed)
    assert (first.kind, first.message) == ("ValueError", "no such data")
    assert "rank 0 stopped: ValueError: no such data" in other.message


def test_a_process_that_is_alone() -> None:
    alone = World.alone(torch.device("cpu"))
    assert collective_wait.first_alone(lambda: 3, alone, lambda: False) == 3
    with pytest.raises(ZeroDivisionError):
        collective_wait.first_alone(lambda: 1 // 0, alone, lambda: False)
