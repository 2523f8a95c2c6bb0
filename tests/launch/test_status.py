"""A look at a run root: files first, then SLURM."""

from __future__ import annotations

import json
import os
import shlex
import time

import pytest
from launch.world import World, accounted, listed

from harness.command import Commands
from harness.launch.status import Row, StatusReader
from harness.store import ledger
from harness.store.attempt import begin
from harness.store.liveness import SILENCE_S


def rows(world: World) -> dict[str, Row]:
    return {row.id: row for row in StatusReader(world.root).read().rows}


def test_no_submission_no_question(world: World) -> None:
    folder = world.stage()
    world.attempt(folder, how="failed", message="no data")
    (row,) = StatusReader(world.root).read().rows
    assert (row.state, row.why, row.over) == ("failed", "no data", True)
    assert not world.calls.exists()


def test_an_array_from_the_queue_to_the_end(world: World) -> None:
    stages = [world.stage(run=f"tiny-s{n}") for n in range(4)]
    made = world.submit(*stages)
    world.result(stages[0], **{"knn/top1": 40.0})
    world.attempt(stages[1], job="12_1")
    world.says("squeue", listed(made, "12_1", "RUNNING", node="n7")
               + listed(made, "12_2", "PENDING", "Resources"))  # fmt: skip
    world.says("sacct", accounted(made, "12_3", "OUT_OF_MEMORY", "0:125"))
    found = rows(world)
    assert [found[s.id].state for s in stages] == ["finished", "running", "waiting", "failed"]
    assert found[stages[1].id].node == "n7"
    assert "Resources" in found[stages[2].id].why
    assert "slurm.mem_gb" in found[stages[3].id].remedy
    again = found[stages[3].id].again(Commands(world.root))
    assert again == f"moco-harness run recipes/tiny.yaml --runs {world.root}"


def test_a_dead_holder_is_not_waited_for_when_slurm_knows(world: World) -> None:
    folder = world.stage()
    world.attempt(folder, job="12")
    made = world.submit(folder)
    world.says("sacct", accounted(made, "12", "NODE_FAIL"))
    assert rows(world)[folder.id].state == "failed"


@pytest.mark.parametrize("silent", [0.0, SILENCE_S + 10])
def test_without_accounting_silence_tells(world: World, silent: float) -> None:
    folder = world.stage()
    world.attempt(folder, job="12", silent_s=silent)
    world.submit(folder)
    world.says("sacct", code=1, err="Slurm accounting storage is disabled")
    found = StatusReader(world.root).read()
    assert found.rows[0].state == ("lost" if silent else "running")
    assert "accounting does not answer" in found.notes[0]


def test_a_submission_of_this_moment_is_not_lost(world: World) -> None:
    folder = world.stage()
    world.submit(folder, ago_s=2)
    assert rows(world)[folder.id].state == "unknown"
    later = world.stage(run="tiny-s1")
    world.submit(later, ago_s=3600)
    assert rows(world)[later.id].state == "lost"


def test_what_was_run_without_its_job_since_is_judged_by_that(world: World) -> None:
    folder = world.stage()
    made = world.submit(folder)
    world.attempt(folder, how="failed", message="ValueError: seven")
    world.says("sacct", accounted(made, "12", "TIMEOUT"))
    found = rows(world)[folder.id]
    assert (found.state, found.why) == ("failed", "ValueError: seven")
    assert found.job is None


def test_what_was_run_without_a_job_before_is_not(world: World) -> None:
    folder = world.stage()
    world.attempt(folder, how="failed", message="ValueError: seven", silent_s=7200)
    made = world.submit(folder)
    world.says("sacct", accounted(made, "12", "TIMEOUT"))
    assert rows(world)[folder.id].why == "time limit"


def test_a_holder_of_this_machine_that_died_is_seen_at_once(world: World) -> None:
    folder = world.stage()
    begin(folder).end("interrupted", "stopped on request")
    assert rows(world)[folder.id].state == "interrupted"


# ---- parents and children


def test_a_child_says_that_its_parent_failed(world: World) -> None:
    parent = world.stage()
    child = world.stage("knn", parent=parent.id)
    probe = world.stage("linear", parent=parent.id)
    world.attempt(parent, job="12_0", how="failed", message="no data")
    made = world.submit(parent, child, probe)
    world.says("squeue", listed(made, "12_2", "PENDING", "DependencyNeverSatisfied"))
    world.says("sacct", accounted(made, "12_0", "FAILED", "3:0")
               + accounted(made, "12_1", "CANCELLED"))  # fmt: skip
    found = rows(world)
    for stage in (child, probe):
        assert found[stage.id].state == "cancelled"
        assert found[stage.id].why == f"its parent {parent.id} failed"
    assert StatusReader(world.root).read({child.id}).rows == (found[child.id],), (
        "alone as among others"
    )


def test_a_child_that_a_person_cancelled(world: World) -> None:
    parent = world.stage()
    child = world.stage("knn", parent=parent.id)
    made = world.submit(parent, child)
    world.says("sacct", accounted(made, "12_0", "CANCELLED by 0")
               + accounted(made, "12_1", "CANCELLED by 0"))  # fmt: skip
    assert {row.why for row in rows(world).values()} == {"cancelled by root"}


def test_a_child_of_a_diverged_parent(world: World) -> None:
    parent = world.stage()
    child = world.stage("knn", parent=parent.id)
    world.result(parent, "diverged")
    made = world.submit(parent, child)
    world.says("sacct", accounted(made, "12_1", "COMPLETED"))
    assert rows(world)[child.id].why == f"its parent {parent.id} diverged"


def test_a_child_that_lost_its_turn_in_the_background(world: World) -> None:
    parent = world.stage()
    child = world.stage("knn", parent=parent.id)
    world.attempt(parent, how="failed", message="no data")
    world.submit(parent, child, on="local", job="99999999")
    assert rows(world)[child.id].why == f"its parent {parent.id} failed"


def test_a_run_in_the_terminal_after_a_background_job(world: World) -> None:
    folder = world.stage()
    made = world.submit(folder, on="local", job="99999999")
    world.attempt(folder, on="local", job="99999999", host=made.host, how="interrupted")
    assert rows(world)[folder.id].submission == made
    world.attempt(folder, how="failed", message="no data", host=made.host)
    row = rows(world)[folder.id]
    assert (row.state, row.why, row.submission) == ("failed", "no data", None)
    world.attempt(folder, on="local", job="99999999", how="failed", message="no such device")
    assert rows(world)[folder.id].submission is None, "another machine's process of that number"


# ---- a look and the next


def test_what_is_done_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        world.result(world.stage(run=f"tiny-s{n}"))
    reader = StatusReader(world.root)
    first = reader.read()

    def unread(path: str) -> tuple[bytes, int]:
        raise AssertionError(path)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "_read", unread)
        assert reader.read().rows == first.rows
    (world.root / first.rows[0].id / "result.json").unlink()
    assert reader.read().rows[0].state == "absent"


def test_a_damaged_record_costs_a_note(world: World) -> None:
    world.attempt(world.stage(), how="failed", message="no data")
    made = world.submit(world.stage(run="tiny-s1"))
    (world.root / "submissions" / f"{made.id}.json").write_text("{")
    found = StatusReader(world.root).read()
    assert found.rows[0].state == "failed"
    assert f"{made.id}.json" in found.notes[0]


def test_what_was_submitted_and_has_no_folder(world: World) -> None:
    folder = world.stage()
    made = world.submit(folder)
    for path in sorted(folder.path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.path.rmdir()
    world.says("squeue", listed(made, "12", "PENDING", "Priority"))
    (row,) = StatusReader(world.root).read().rows
    assert (row.id, row.state) == (folder.id, "waiting")


def test_the_log_that_is_read(world: World) -> None:
    folder = world.stage()
    made = world.submit(folder, job="12")
    path = world.log(made, "12", err="error: no such data\n", out="hello\n")
    world.says("sacct", accounted(made, "12", "FAILED", "3:0"))
    row = rows(world)[folder.id]
    assert (row.why, row.log) == ("no such data", path)
    path.write_text("")
    assert rows(world)[folder.id].log == path.with_suffix(".out")


def test_the_command_that_runs_it_again(world: World) -> None:
    folder = world.stage()
    world.submit(folder, sets=("optim.lr=0.1", "name=a b"))
    again = rows(world)[folder.id].again(Commands(world.root))
    sets = ["--set", "optim.lr=0.1", "--set", "name=a b"]
    root = ["--runs", str(world.root)]
    assert shlex.split(again) == ["moco-harness", "run", "recipes/tiny.yaml", *sets, *root]
    other = world.stage(run="tiny-s1")
    attempt = world.attempt(other, how="interrupted")
    for program in ("moco-harness", "__main__.py"):
        (attempt / "attempt.json").write_text(json.dumps({"command": [program, "run", "x.yaml"]}))
        found = rows(world)[other.id].again(Commands(world.root))
        assert shlex.split(found) == ["moco-harness", "run", "x.yaml", *root]


def test_thousands_ask_once(world: World) -> None:
    stages = [world.stage(run=f"tiny-s{n}") for n in range(200)]
    for start in range(0, 200, 10):
        world.submit(*stages[start : start + 10], job=str(100 + start))
    assert len(rows(world)) == 200
    assert (len(world.called("squeue")), len(world.called("sacct"))) == (1, 1)


def test_times_in_the_future_harm_nothing(world: World) -> None:
    folder = world.stage()
    attempt = world.attempt(folder, job="12")
    then = time.time() + 1000
    os.utime(attempt / "alive.json", (then, then))
    world.submit(folder)
    assert rows(world)[folder.id].state == "running"
