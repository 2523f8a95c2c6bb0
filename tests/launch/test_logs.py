from __future__ import annotations

import threading
import time

import pytest
from launch.world import World, accounted, listed

from harness.command import Commands
from harness.launch import logs
from harness.launch.logs import follow, others, sources, verdict
from harness.launch.status import StatusReader


def test_a_jobs_logs(world: World) -> None:
    folder = world.stage()
    made = world.submit(world.stage(run="tiny-s1"), folder)
    assert sources(world.root, folder.id) == []
    err = world.log(made, "12_1", err="error: x\n")
    assert sources(world.root, folder.id) == [err.with_suffix(".out"), err]
    rank = world.log(made, "12_1", err="NCCL\n", rank=1)
    world.log(made, "12_1", err="", rank=2)
    world.log(made, "12_10", err="another job's", rank=1)
    assert others(err) == [rank]


def test_the_traceback_of_a_run_without_a_job(world: World) -> None:
    folder = world.stage()
    attempt = world.attempt(folder, how="failed")
    assert sources(world.root, folder.id) == []
    (attempt / "traceback.txt").write_text("Traceback\n")
    assert sources(world.root, folder.id) == [attempt / "traceback.txt"]
    world.attempt(folder, how="interrupted")
    assert sources(world.root, folder.id) == [], "the newest attempt's alone"


def test_whichever_is_newer(world: World) -> None:
    folder = world.stage()
    made = world.submit(folder, job="12")
    log = world.log(made, "12")
    world.attempt(folder, job="12", how="interrupted")
    assert log in sources(world.root, folder.id)
    attempt = world.attempt(folder, how="failed")
    (attempt / "traceback.txt").write_text("Traceback\n")
    assert sources(world.root, folder.id) == [attempt / "traceback.txt"]
    again = world.submit(folder, job="13", ago_s=-1)
    assert sources(world.root, folder.id) == [attempt / "traceback.txt"], "no log of it yet"
    log = world.log(again, "13")
    assert log in sources(world.root, folder.id)


def test_what_became_of_it(world: World) -> None:
    folder = world.stage()
    made = world.submit(folder, job="12")
    log = world.log(made, "12", err="x\n")
    world.says("sacct", accounted(made, "12", "OUT_OF_MEMORY"))
    (row,) = StatusReader(world.root).read().rows
    assert list(verdict(Commands(world.root), row)) == [
        f"{folder.id}: failed: out of memory on n1",
        "what to do: raise slurm.mem_gb in the site file",
        f"logs: {log.with_suffix('.out')}, {log}",
        f"run again: moco-harness run recipes/tiny.yaml --runs {world.root}",
    ]


def test_following_until_it_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "STATUS_S", 0.0)
    folder = world.stage()
    made = world.submit(folder, job="12")
    world.says("squeue", listed(made, "12", "PENDING", "Priority"))
    said: list[str] = []

    def wait_for(text: str) -> None:
        until = time.monotonic() + 30
        while text not in "".join(said):
            assert time.monotonic() < until, said
            time.sleep(0.02)

    thread = threading.Thread(target=follow, args=(Commands(world.root), folder.id, said.append))
    thread.start()
    wait_for("waiting: job 12 is pending (Priority)")
    world.says("squeue", listed(made, "12", "RUNNING"))
    log = world.log(made, "12", out="step 1\n")
    wait_for("step 1")
    with log.with_suffix(".out").open("a") as file:
        file.write("step 2\n")
    wait_for("step 2")
    world.result(folder)
    thread.join(30)
    assert not thread.is_alive()
    text = "".join(said)
    assert text.count("step 1") == text.count("==>") == 1
