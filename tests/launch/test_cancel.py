from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from launch.world import World, listed

from harness.errors import HarnessError
from harness.launch.cancel import Targets, aim, consequences, stop
from harness.launch.status import StatusReader
from harness.store import submission
from harness.store.attempt import begin
from harness.store.liveness import identity
from harness.store.operating_system import boot
from harness.store.submission import Array


def targets(world: World, *stages: Any) -> Targets:
    return aim(StatusReader(world.root).read(), {stage.id for stage in stages})


def queued(world: World, made: Any, *jobs: str) -> None:
    world.says("squeue", "".join(listed(made, job, "PENDING", "Priority") for job in jobs))


def test_the_live_elements_alone(world: World) -> None:
    stages = [world.stage(run=f"tiny-s{n}") for n in range(4)]
    made = world.submit(*stages)
    world.result(stages[0])
    queued(world, made, "12_1", "12_2")
    found = targets(world, *stages[:3])
    assert (found.stages, found.jobs) == (
        [stages[1].id, stages[2].id],
        {"slurm": ["12_1", "12_2"]},
    )
    (idle,) = found.idle
    assert idle.startswith(f"{stages[0].id}: finished")
    stop(found)
    (words,) = world.called("scancel")
    assert words[1:] == ["12_1", "12_2"]
    assert words[0].startswith("--user=")


def test_the_report_goes_with_the_last_stage(world: World) -> None:
    stages = [world.stage(run=f"tiny-s{n}") for n in range(2)]
    made = world.submit(*stages, arrays=[Array("moco-r", "report", (), job="13")])
    queued(world, made, "12_0", "12_1")
    assert targets(world, stages[0]).jobs == {"slurm": ["12_0"]}
    assert targets(world, *stages).jobs == {"slurm": ["12_0", "12_1", "13"]}


def test_children_that_wait_are_told(world: World) -> None:
    parent = world.stage()
    child = world.stage("knn", parent=parent.id)
    made = world.submit(parent, child)
    queued(world, made, "12_0", "12_1")
    found = targets(world, parent)
    assert (found.jobs, found.behind) == ({"slurm": ["12_0"]}, [child.id])


def test_a_job_of_another_cluster_is_left_alone(world: World) -> None:
    """Its number may be anybody's here."""
    folder = world.stage()
    world.submit(folder, cluster="there")
    found = targets(world, folder)
    (line,) = found.refused
    assert line.startswith(f"{folder.id}: job 12 is on cluster there")
    assert found.jobs == {}


def test_others_jobs_are_left_alone(world: World) -> None:
    folder = world.stage()
    made = world.submit(folder, user="ann")
    queued(world, made, "12")
    found = targets(world, folder)
    (refused,) = found.refused
    assert refused.startswith(f"{folder.id}: job 12 belongs to ann")
    assert (found.jobs, found.stages) == ({}, [])


def test_a_run_of_this_machine(world: World) -> None:
    folder = world.stage()
    code = (
        "import sys, time; from pathlib import Path\n"
        "from harness.store.attempt import begin; from harness.store.layout import StageFolder\n"
        "begin(StageFolder(Path(sys.argv[1]))); print(flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(folder.path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = targets(world, folder)
        assert list(found.processes) == [process.pid]
        stop(found)
        assert process.wait(30) == -15
    stop(found)  # it has ended: no error
    assert world.called("scancel") == []


def test_runs_of_elsewhere_and_of_other_jobs(world: World) -> None:
    folder, other = world.stage(), world.stage(run="tiny-s1")
    world.attempt(folder)
    world.attempt(other, job="77")
    found = targets(world, folder, other)
    assert found.refused[0] == f"{folder.id}: process 321 on n7 runs it; stop it there"
    assert "scancel 77 " in found.refused[1]
    assert found.processes == {}


def test_what_another_user_runs_here(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = world.stage()
    attempt = begin(folder)
    monkeypatch.setattr("harness.store.operating_system.owner", lambda _: 1)
    assert f"process {os.getpid()} " in targets(world, folder).refused[0]
    attempt.end("interrupted")


def test_a_background_job(world: World) -> None:
    folder = world.stage()
    made = world.submit(folder, on="local", job="1")
    words = [sys.executable, "-c", "import time; time.sleep(60)", f"submissions/{made.id}"]
    with subprocess.Popen(words) as process:
        submission.write(world.root, made.job(0, str(process.pid)))
        found = targets(world, folder)
        assert (found.jobs, found.processes) == ({"local": [str(process.pid)]}, {})
        (said,) = consequences(found)
        assert f"background job {process.pid}" in said
        stop(found)
        assert process.wait(20) == -signal.SIGTERM
    found = targets(world, folder)
    assert (found.jobs, found.processes) == ({}, {})
    (idle,) = found.idle
    assert idle.startswith(f"{folder.id}: lost")


def test_a_background_job_of_another_machine(world: World) -> None:
    folder = world.stage()
    world.submit(folder, on="local", job="1", host="elsewhere", ago_s=60)
    (refused,) = targets(world, folder).refused
    assert "background job 1 is a process of elsewhere: call moco-harness there" in refused


def test_a_background_job_of_another_container_is_left_alone(world: World) -> None:
    """Its number may be another process's here."""
    folder = world.stage()
    number, _, _ = boot().partition(" ")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        job, where = str(process.pid), {"boot": f"{number} pid:[1]"}
        made = world.submit(folder, on="local", job=job, submitter=where)
        world.attempt(folder, on="local", job=job, host=made.host)
        found = targets(world, folder)
        assert (found.jobs, found.processes) == ({}, {})
        assert "another container" in found.refused[0]
        process.kill()


def test_while_it_is_being_submitted(world: World) -> None:
    folder = world.stage()
    world.submit(folder, job=None, submitter=identity(), ago_s=1)
    assert "is submitting it; try again" in targets(world, folder).refused[0]


def test_slurm_refuses_or_is_not_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Targets(stages=["x"], jobs={"slurm": ["12"]})
    world.says("scancel", code=1, err="scancel: error: Kill job error on job id 12: Access denied")
    with pytest.raises(HarnessError, match=r"did not cancel all: .*Access denied"):
        stop(asked)
    world.says("scancel", code=1, err="scancel: error: Unable to contact slurm controller")
    with pytest.raises(HarnessError, match=r"^SLURM does not answer: .*Run cancel again later$"):
        stop(asked)
    monkeypatch.setenv("PATH", str(world.root))
    with pytest.raises(HarnessError, match="scancel: not installed"):
        stop(asked)


def test_thousands_in_several_calls(world: World) -> None:
    stop(Targets(jobs={"slurm": [f"12_{n}" for n in range(1200)]}))
    calls = world.called("scancel")
    assert [len(words) - 1 for words in calls] == [500, 500, 200]


def test_a_process_that_is_stopped_ends_too() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        stop(Targets(processes={process.pid: "process"}))
        assert process.wait(20) == -signal.SIGTERM
