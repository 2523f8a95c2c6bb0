"""What the others hear of a process that died, hung or stopped, or that never came."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from gloo import Died, Failed, Pool, free_port
from torch import nn

from harness.runtime import failure_detection, ring_heartbeat
from harness.runtime.environment import Placement
from harness.runtime.failure_detection import LostPeer
from harness.runtime.world import World, join


def fails(world: World, how: str, victim: int) -> None:
    x = torch.zeros(2, 3)
    world.gather(x)
    if world.rank == victim:
        if how == "dies":
            os._exit(3)
        if how == "raises":
            raise ValueError("no such image\n(details)")
        if how == "hangs":
            time.sleep(5)
    for _ in range(3):
        world.exchange(x, torch.arange(2 * world.size))
        world.any(False)


def in_backward(world: World, how: str, victim: int) -> None:
    model = nn.Linear(6, 5)
    for step in range(2):
        loss = world.gather_with_gradient(model(torch.ones(2, 6))).sum()
        if step and world.rank == victim:
            assert how == "dies"
            os._exit(3)
        loss.backward()


@pytest.mark.parametrize(
    ("function", "how", "size", "said"),
    [
        (fails, "dies", 4, "rank 1 died or hung"),
        (fails, "raises", 4, "rank 1 stopped: ValueError: no such image. "),
        (fails, "hangs", 4, "rank 1 is running but was elsewhere"),
        (in_backward, "dies", 2, "rank 1 died or hung"),
    ],
)
def test_a_lost_rank_ends_the_others_and_is_named(
    gloo: Pool, function: Callable[..., None], how: str, size: int, said: str
) -> None:
    outcomes = gloo.outcomes(function, size, how, 1, wait_s=2, timeout=90)
    victim = outcomes.pop(1)
    assert victim == Died(3) if how == "dies" else isinstance(victim, Failed)
    what = "backward|gather_with_gradient" if function is in_backward else "exchange|any|same"
    for outcome in outcomes:
        assert outcome.kind == "LostPeer"
        assert re.search(f"in '({what})': .*{said}", outcome.message), outcome.message
        assert outcome.message.count("; rank") == 0, outcome.message


def who_died(world: World, how: str, victim: int, folder: str) -> None:
    try:
        fails(world, how, victim)
    except LostPeer as lost:
        Path(folder, f"{world.rank}").write_text(str(lost.died))
        raise


@pytest.mark.parametrize(
    ("how", "died"),
    [("dies", (1,)), ("raises", ()), ("hangs", ())],  # its own error is not its death
)
def test_a_death_is_told_from_other_losses(
    gloo: Pool, tmp_path: Path, how: str, died: tuple[int, ...]
) -> None:
    gloo.outcomes(who_died, 3, how, 1, str(tmp_path), wait_s=2, timeout=90)
    for rank in (0, 2):
        assert (tmp_path / f"{rank}").read_text() == str(died)


def barrier(world: World) -> None:
    world.barrier()


def test_the_pool_goes_on_after_a_loss(gloo: Pool) -> None:
    assert gloo.outcomes(fails, 2, "dies", 0, wait_s=1)[0] == Died(3)
    gloo.run(barrier, 4)


def a_mistake_of_ours(world: World) -> None:
    with world.guard("forward"):
        torch.zeros(2) @ torch.zeros(3)


@pytest.mark.parametrize("size", [1, 2])
def test_an_error_that_is_no_loss_stays_what_it_is(gloo: Pool, size: int) -> None:
    assert [o.kind for o in gloo.outcomes(a_mistake_of_ours, size)] == ["RuntimeError"] * size


def loses(rank: int, port: int, how: str, victim: int, folder: str) -> None:
    """The others' main threads are where no exception reaches them: asleep, as if in a GPU's queue,
    or in gloo, which would wait for a minute."""
    ring_heartbeat.HEARTBEAT_S, ring_heartbeat.SILENCE_S, failure_detection._STUCK_S = 0.5, 2.0, 0.5
    place = Placement(rank, 4, rank, 4, "127.0.0.1", port, "slurm")

    def on_loss(lost: LostPeer) -> None:
        Path(folder, f"{rank}").write_text(f"{lost} {lost.died}")
        os._exit(7)

    with join(place, torch.device("cpu"), on_loss=on_loss) as world:
        world.barrier()
        time.sleep(1.5)  # longer than a beat: one that was never heard is not missed
        if rank == victim:
            if how == "stops":
                Path(folder, "stopped").write_text(f"{os.getpid()}")
                os.kill(os.getpid(), signal.SIGSTOP)
            elif how == "dies":
                os._exit(3)
            raise ValueError("no such image")
        if how == "stops" and rank:
            world.gather(torch.zeros(2))
        time.sleep(60)


@pytest.mark.parametrize(
    ("how", "victim", "said", "died"),
    [
        ("stops", 2, "rank 2 died or hung (it did not answer)", (2,)),
        ("stops", 0, "rank 0 died or hung (it ran the rendezvous store", (0,)),
        ("dies", 1, "rank 1 died or hung (it did not answer)", (1,)),
        ("dies", 0, "rank 0 died or hung (it ran the rendezvous store", (0,)),
        ("raises", 3, "rank 3 stopped: ValueError: no such image. ", ()),
    ],
)
def test_a_loss_ends_a_process_that_cannot_notice_it(
    gloo: Pool, tmp_path: Path, how: str, victim: int, said: str, died: tuple[int, ...]
) -> None:
    def end_the_stopped() -> None:
        until = time.monotonic() + 14
        while len(list(tmp_path.iterdir())) < 4 and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(int((tmp_path / "stopped").read_text()), signal.SIGKILL)

    if how == "stops":  # it would not answer before the timeout
        threading.Thread(target=end_the_stopped, daemon=True).start()
    words = (free_port(), how, victim, str(tmp_path))
    outcomes = gloo.outcomes(loses, 4, *words, timeout=15, apart=True)
    assert isinstance(outcomes.pop(victim), Died | Failed)
    for rank, outcome in zip({0, 1, 2, 3} - {victim}, outcomes, strict=True):
        told = (tmp_path / f"{rank}").read_text() if outcome == Died(7) else outcome.message
        assert re.search(f"rank {rank} lost contact in '.*': {re.escape(said)}", told), told
        # the end of one may let another one's gloo notice
        assert outcome == Died(7) or (how == "stops" and outcome.kind == "LostPeer")
        assert outcome != Died(7) or told.endswith(f" {died}")
    assert Died(7) in outcomes


def dies_as_soon_as_it_has_come(rank: int, port: int, folder: str) -> str:
    """Before its watch has turned once; the other then waits in gloo for its address."""
    ring_heartbeat.HEARTBEAT_S, ring_heartbeat.SILENCE_S, failure_detection._STUCK_S = 0.5, 2.0, 0.5
    if rank == 1:
        failure_detection._PERIOD = 30.0
        dist.init_process_group = lambda *_, **__: os._exit(3)
    place = Placement(rank, 2, rank, 2, "127.0.0.1", port, "slurm")

    def on_loss(lost: LostPeer) -> None:
        Path(folder, f"{rank}").write_text(f"{lost}")
        os._exit(7)

    with join(place, torch.device("cpu"), timeout=60, on_loss=on_loss):
        return "joined"


def test_who_dies_as_soon_as_it_has_come_is_missed(gloo: Pool, tmp_path: Path) -> None:
    words = (free_port(), str(tmp_path))
    outcomes = gloo.outcomes(dies_as_soon_as_it_has_come, 2, *words, timeout=30, apart=True)
    assert outcomes == [Died(7), Died(3)]
    assert "in 'join': rank 1 died or hung (it did not answer)" in (tmp_path / "0").read_text()


def suspended(rank: int, port: int, folder: str) -> str:
    """All processes but the test's stop for longer than a silence, as SLURM suspends a job."""
    ring_heartbeat.HEARTBEAT_S, ring_heartbeat.SILENCE_S, failure_detection._STUCK_S = (
        0.25,
        2.0,
        0.0,
    )
    place = Placement(rank, 2, rank, 2, "127.0.0.1", port, "slurm")
    with join(place, torch.device("cpu"), on_loss=lambda _: os._exit(7)) as world:
        world.barrier()
        Path(folder, f"{rank}").write_text(str(os.getpid()))
        time.sleep(2)
        world.barrier()
    return "went on"


def test_processes_that_are_suspended_together_go_on(gloo: Pool, tmp_path: Path) -> None:
    def suspend() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        pids = [int(path.read_text()) for path in tmp_path.iterdir()]
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                os.kill(pid, number)
            time.sleep(4)

    thread = threading.Thread(target=suspend, daemon=True)
    thread.start()
    assert gloo.outcomes(suspended, 2, free_port(), str(tmp_path), apart=True) == ["went on"] * 2
    thread.join()


def returns(rank: int, port: int, folder: str) -> str:
    """Rank 1 is stopped for longer than a silence, and goes on while it is given up; then it dies
    for good."""
    ring_heartbeat.HEARTBEAT_S, ring_heartbeat.SILENCE_S = 0.25, 1.5
    failure_detection._GRACE, failure_detection._STUCK_S, failure_detection._SETTLED_S = (
        0.5,
        6.0,
        0.5,
    )
    place = Placement(rank, 3, rank, 3, "127.0.0.1", port, "slurm")

    def on_loss(lost: LostPeer) -> None:
        Path(folder, f"lost{rank}").write_text(f"{lost.died}")
        os._exit(7)

    with join(place, torch.device("cpu"), on_loss=on_loss) as world:
        world.barrier()
        Path(folder, f"{rank}").write_text(str(os.getpid()))
        time.sleep(8)
        failure_detection._STUCK_S = 0.5
        world.barrier()
        if rank == 1:
            os._exit(3)
        time.sleep(30)
    return "ended"


def test_who_comes_back_is_not_given_up_and_watched_on(gloo: Pool, tmp_path: Path) -> None:
    def pause() -> None:
        while not (tmp_path / "1").exists() or not (tmp_path / "1").read_text():
            time.sleep(0.05)
        time.sleep(1)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            os.kill(int((tmp_path / "1").read_text()), number)
            time.sleep(3.5)

    thread = threading.Thread(target=pause, daemon=True)
    thread.start()
    outcomes = gloo.outcomes(returns, 3, free_port(), str(tmp_path), apart=True)
    thread.join()
    assert outcomes == [Died(7), Died(3), Died(7)]
    assert {(tmp_path / f"lost{rank}").read_text() for rank in (0, 2)} == {"(1,)"}
