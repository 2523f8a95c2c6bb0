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


def planned(tiny: Path, world: World, *sets: str) -> list[str]:
    """Queue the recipe's stages, then one of another recipe; returns the ids of the first."""
    folders = []
    for stage in make_plan(tiny, sets, Path("runs")).stages:
        folders.append(stage_folder(Path("runs"), stage.id))
        folders[-1].create(describe(stage, "tiny"))
    made = world.submit(*folders, world.stage(run="other-s0"))
    jobs = [f"12_{n}" for n in range(len(folders) + 1)]
    world.says("squeue", "".join(listed(made, job, "PENDING") for job in jobs))
    return [folder.id for folder in folders]


def test_cancel_a_recipe(moco: Any, tiny: Path, world: World) -> None:
    planned(tiny, world)
    said = moco("cancel", tiny, "--yes")
    assert said.code == 0
    assert "note: " not in said.out, "another recipe's run is not meant"
    (words,) = world.called("scancel")
    assert sorted(words[1:]) == ["12_0", "12_1", "12_2"]


def test_cancel_the_seeds_of_a_recipe(moco: Any, tiny: Path, world: World) -> None:
    ids = planned(tiny, world, "seeds=[0, 1]")
    assert moco("cancel", tiny, "--seeds", "0-1", "--yes").code == 0
    (words,) = world.called("scancel")
    assert sorted(words[1:]) == [f"12_{n}" for n in range(len(ids))]


def test_seeds_that_go_on_are_named(moco: Any, tiny: Path, world: World) -> None:
    ids = planned(tiny, world, "seeds=[0, 1]")
    said = moco("cancel", tiny, "--yes")
    assert said.code == 0
    assert len(world.called("scancel")[0]) == 1 + len(ids) // 2
    (note,) = [line for line in said.out.splitlines() if line.startswith("note: ")]
    assert all((id_ in note) == id_.startswith("tiny-s1") for id_ in ids)
    assert "other-s0" not in note


def test_a_run_has_no_seeds(moco: Any, queued: World) -> None:
    said = moco("cancel", "tiny-s0", "--seeds", "1", "--yes")
    assert said.code == 2
    assert "--seeds 1" in said.err
    assert queued.called("scancel") == []


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
