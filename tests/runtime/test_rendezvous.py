"""How processes meet at rank 0, how long they wait, and who decides that they do not begin."""

from __future__ import annotations

import os
import socket
import time

import pytest
import torch
from gloo import Died, Pool, free_port

from harness.runtime import rendezvous
from harness.runtime.environment import Placement
from harness.runtime.world import join


def joins(rank: int, port: int, dies: bool, collective_wait: float) -> list[int]:
    place = Placement(rank, 2, rank, 2, "127.0.0.1", port, "slurm", attempt=2)
    with join(place, torch.device("cpu"), timeout=collective_wait) as world:
        found: list[int] = world.gather(torch.tensor([rank])).tolist()
        if dies and rank == 0:
            os._exit(3)
        world.barrier()
    return found


@pytest.mark.parametrize("dies", [False, True])
def test_processes_meet_at_rank_0(gloo: Pool, dies: bool) -> None:
    outcomes = gloo.outcomes(joins, 2, free_port(), dies, 20.0, apart=True)
    if dies:
        assert outcomes[0] == Died(3)
        assert ("in 'barrier': rank 0 died or hung (it ran the rendezvous store") in outcomes[
            1
        ].message
    else:
        assert outcomes == [[0, 1]] * 2


def test_a_port_that_is_taken(gloo: Pool) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (outcome,) = gloo.outcomes(joins, 1, port, False, 2.0, apart=True)
    assert f"rank 0 of 2 cannot listen at 127.0.0.1:{port}" in outcome.message


def comes_second(_: int, port: int) -> list[int]:
    return joins(1, port, False, 1.0)


def test_a_rank_without_rank_0(gloo: Pool) -> None:
    (outcome,) = gloo.outcomes(comes_second, 1, free_port(), apart=True)
    assert outcome.kind == "HarnessError"
    assert "rank 1 of 2 cannot join the other processes at 127.0.0.1" in outcome.message


def test_a_rank_without_the_others(gloo: Pool) -> None:
    (outcome,) = gloo.outcomes(joins, 1, free_port(), False, 1.0, apart=True)
    assert "rank 0 lost contact in 'join': rank 1 died or hung" in outcome.message


def comes(
    rank: int, port: int, size: int, late: float, asked: int, wait: tuple[float, float] = (1, 60)
) -> str:
    """Rank 1 comes late; rank `asked` is asked to stop after a while.

    `wait`: the timeouts of collectives and of the rendezvous.
    """
    rendezvous._KNOCK_S = 0.2
    place = Placement(rank, size, rank, size, "127.0.0.1", port, "slurm")
    if rank == 1:
        time.sleep(late)
    until = time.monotonic() + 0.5
    try:
        with join(
            place,
            torch.device("cpu"),
            timeout=wait[0],
            rendezvous_timeout=wait[1],
            stopping=lambda: rank == asked and time.monotonic() > until,
        ) as world:
            world.barrier()
    except rendezvous.RendezvousFailed:
        return "unmet"
    return "met"


@pytest.mark.parametrize("wait", [(1.0, 60.0), (60.0, 1.0)])
def test_rank_0_waits_as_long_as_the_longer_of_both(gloo: Pool, wait: tuple[float, float]) -> None:
    outcomes = gloo.outcomes(comes, 2, free_port(), 2, 3.0, -1, wait, apart=True)
    assert outcomes == ["met", "met"]


@pytest.mark.parametrize("asked", [0, 1])
def test_who_is_asked_to_stop_does_not_wait_for_the_others(gloo: Pool, asked: int) -> None:
    """There are three of them; the third never comes."""
    assert gloo.outcomes(comes, 2, free_port(), 3, 0.0, asked, apart=True) == ["unmet", "unmet"]


def comes_alone(_: int, port: int) -> str:
    return comes(1, port, 2, 0.0, 1)


def test_who_is_asked_to_stop_does_not_wait_for_rank_0(gloo: Pool) -> None:
    assert gloo.outcomes(comes_alone, 1, free_port(), apart=True) == ["unmet"]
