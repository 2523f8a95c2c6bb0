"""`cancel` as a user meets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from launch.world import World, listed

from harness.launch.stage_record import describe
from harness.plan import make_plan
from harness.store import atomic
from harness.store.layout import stage_folder


@pytest.fixture
def queued(world: World) -> World:
    """Two runs in the queue, one of them with a probe."""
    stages = [world.stage(), world.stage(run="tiny-s1")]
    stages.append(world.stage("knn", parent=stages[0].id))
    made = world.submit(*stages)
    world.says("squeue", "".join(listed(made, f"12_{n}", "PENDING", "Priority") for n in range(3)))
    return world


def test_cancel_asks_first(moco: Any, queued: World) -> None:
    said = moco("cancel", "tiny-s0")
    assert said.code == 1
    assert "--yes" in said.err
    assert "2 jobs of SLURM will be cancelled" in said.out
    assert queued.called("scancel") == []


def test_cancel_a_run(moco: Any, queued: World) -> None:
    said = moco("cancel", "tiny-s0", "--yes")
    assert said.code == 0, said.err
    assert "asked 2 stages to stop" in said.out
    (words,) = queued.called("scancel")
    assert sorted(words[1:]) == ["12_0", "12_2"]


def test_cancel_a_parent_names_what_goes_with_it(moco: Any, queued: World) -> None:
    said = moco("cancel", "tiny-s0.pretrain", "-y")
    assert "1 stages that wait for them" in said.out
    assert queued.called("scancel")[0][1:] == ["12_0"]


def test_cancel_a_recipe(moco: Any, tiny: Path, world: World) -> None:
    folders = []
    for stage in make_plan(tiny, [], Path("runs")).stages:
        folders.append(stage_folder(Path("runs"), stage.id))
        folders[-1].create(describe(stage, "tiny"))
    other = world.stage(run="other-s0")
    made = world.submit(*folders, other)
    world.says("squeue", "".join(listed(made, f"12_{n}", "PENDING") for n in range(4)))
    assert moco("cancel", tiny, "--yes").code == 0
    (words,) = world.called("scancel")
    assert sorted(words[1:]) == ["12_0", "12_1", "12_2"]


def test_cancel_what_is_not_ours(moco: Any, world: World) -> None:
    made = world.submit(world.stage(), user="ann")
    world.says("squeue", listed(made, "12", "RUNNING"))
    said = moco("cancel", "tiny-s0", "--yes")
    assert said.code == 1
    assert "job 12 belongs to ann" in said.err
    assert world.called("scancel") == []


def test_cancel_what_is_over(moco: Any, world: World) -> None:
    folder = world.stage()
    world.result(folder)
    said = moco("cancel", "tiny-s0")
    assert (said.code, said.err) == (0, "")
    assert f"{folder.id}: finished" in said.out
    assert moco("cancel", "none").code == 4


def test_cancel_a_run_here(moco: Any, spawn: Any, tiny: Path) -> None:
    """The run goes on from its checkpoint: nothing is lost."""
    endless = ["--set", "optim.epochs=4000"]
    process = spawn("run", tiny, *endless)
    process.wait_for(lambda: bool(list(Path("runs").glob("tiny-s0.pre*/checkpoints/step-*.pt"))))
    said = moco("cancel", "tiny-s0", "--yes")
    assert said.code == 0, said.all
    assert f"process {process.pid} of this machine" in said.out
    assert process.end().code == 130
    assert "interrupted" in moco("status").out
    (ended,) = Path("runs").glob("tiny-s0.pretrain-*/attempts/0001/ended.json")
    assert atomic.read_json(ended)["how"] == "interrupted"
