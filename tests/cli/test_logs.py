"""`logs` as a user meets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from launch.world import World, accounted, listed


def test_the_logs_of_a_job(moco: Any, world: World) -> None:
    folder = world.stage()
    made = world.submit(folder, sets=("name=tiny",))
    log = world.log(made, "12", err="error: no [data]\n", out="step 1\n")
    world.says("sacct", accounted(made, "12", "FAILED", "3:0"))
    said = moco("logs", "tiny-s0")
    assert said.code == 0
    assert said.out == (
        f"==> {log.with_suffix('.out').relative_to(Path.cwd())} <==\nstep 1\n"
        f"==> {log.relative_to(Path.cwd())} <==\nerror: no [data]\n"
        f"{folder.id}: failed: no [data]\n"
        f"logs: {log.with_suffix('.out').relative_to(Path.cwd())}, {log.relative_to(Path.cwd())}\n"
        "mend that, then run again: moco-harness run recipes/tiny.yaml --set name=tiny\n"
    )


def test_no_logs(moco: Any, world: World) -> None:
    here, waiting, never = (world.stage(run=f"tiny-s{n}") for n in range(3))
    world.attempt(here, how="failed", message="no data\nat all")
    made = world.submit(waiting)
    world.says("squeue", listed(made, "12", "PENDING", "Priority"))
    assert "terminal" in moco("logs", here.id).out
    world.attempt(here, records=[{"step": 22, "epoch": 5.5, "t": 11.0}])
    assert "step 22" in moco("logs", here.id).out
    world.attempt(here, how="failed", message="no data\nat all")
    assert f"{here.id}: failed: no data\nat all\n" in moco("logs", here.id).out
    said = moco("logs", waiting.id).out
    assert "no log yet" in said
    assert "pending (Priority)" in said
    assert "never started" in moco("logs", never.id).out


def test_logs_of_nothing_and_of_several(moco: Any, world: World) -> None:
    world.stage(), world.stage("knn")
    none = moco("logs", "none")
    assert (none.code, none.out) == (4, "")
    assert "no such stage" in none.err
    several = moco("logs", "tiny")
    assert several.code == 4
    assert several.err.count("tiny-s0") == 2


def test_following_a_run_that_is_over(moco: Any, world: World) -> None:
    folder = world.stage()
    world.result(folder)
    assert "finished" in moco("logs", folder.id, "--follow").out
