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


@pytest.mark.parametrize("on", ["slurm", "local"])
def test_whichever_is_newer(world: World, on: str) -> None:
    folder = world.stage()
    made = world.submit(folder, on=on, job="12")
    log = world.log(made, "12")
    world.attempt(folder, on=on, job="12", host=made.host, how="interrupted")
    assert log in sources(world.root, folder.id)
    attempt = world.attempt(folder, how="failed")
    (attempt / "traceback.txt").write_text("Traceback\n")
    assert sources(world.root, folder.id) == [attempt / "traceback.txt"]
    again = world.submit(folder, on=on, job="13", ago_s=-1)
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


def test_what_a_run_of_another_terminal_wrote(world: World) -> None:
    folder = world.stage()
    records = [
        {"step": n, "epoch": n / 4, "train/loss": 3.5, "train/images_per_s": 10.0}
        for n in range(1, 31)
    ]
    attempt = world.attempt(folder, records=records)
    said: list[str] = []
    printer = logs.Printer(said.append)
    for path in sources(world.root, folder.id):
        printer.print(path)
    assert "".join(said).splitlines()[0] == f"==> {attempt / 'metrics.jsonl'} <=="
    assert "step 30" in said[-1]
    assert "3.5" in said[-1]
    assert "step 10 " not in said[-1], "the newest lines alone"
    with (attempt / "metrics.jsonl").open("a") as file:
        file.write('{"step": 31, "epoch": 7.75, "knn/top1": 41.25}\n{"step": 3')
    said.clear()
    printer.print(attempt / "metrics.jsonl")
    (line,) = "".join(said).splitlines()
    assert line.startswith("epoch 7.8, step 31 · ")
    assert "41.2" in line


def test_an_error_of_the_harness_is_to_be_mended_first(world: World) -> None:
    cases = {
        "error": ("cifar10 is incomplete in /data; put its files there", False),
        "bug": ("ValueError: x", True),
        "peer": ("rank 0 lost contact in 'a step': rank 1 died or hung", False),
    }
    for name, (message, traced) in cases.items():
        folder = world.stage(run=f"{name}-s0")
        attempt = world.attempt(folder, how="failed", message=message)
        if traced:
            (attempt / "traceback.txt").write_text("Traceback\n")
    rows = {row.id.partition("-")[0]: row for row in StatusReader(world.root).read().rows}
    assert {name: row.explained for name, row in rows.items()} == {
        "error": True, "bug": False, "peer": False
    }  # fmt: skip
    last = {name: [*verdict(Commands(world.root), row)][-1] for name, row in rows.items()}
    assert last["error"].startswith("mend that, then run again: ")
    assert last["bug"].startswith("run again: ")
