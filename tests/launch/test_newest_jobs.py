from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli.tiny import TINY
from launch.world import World, accounted, listed

from harness.errors import HarnessError
from harness.launch import newest_jobs as module
from harness.launch import plan_with_jobs
from harness.launch.job_states import JobState
from harness.launch.local.jobs import FAR_SILENCE_S
from harness.launch.newest_jobs import Schedulers, newest_jobs
from harness.launch.slurm.jobs import GRACE_S
from harness.launch.status import StatusReader
from harness.plan import make_plan
from harness.spec.declarations import Launcher
from harness.store import atomic, submission
from harness.store.layout import StageFolder
from harness.store.liveness import identity
from harness.store.operating_system import boot
from harness.store.submission import Array


def by_stage(world: World) -> dict[str, JobState]:
    made = submission.everything(world.root)
    return dict(newest_jobs(world.root, made, submission.newest(made), Schedulers()).states)


def test_the_newest_submission_of_a_stage_counts(world: World) -> None:
    one, two = world.stage(), world.stage("knn")
    world.submit(one, two, job="10", ago_s=100)
    newest = world.submit(one, job="11", ago_s=50)
    world.says("squeue", f"11|N/A|RUNNING|n1|{newest.arrays[0].name}|None\n")
    older = submission.everything(world.root)[0]
    world.says("sacct", accounted(older, "10_0", "FAILED") + accounted(older, "10_1", "COMPLETED"))
    found = by_stage(world)
    assert (found[one.id].job, found[one.id].state) == ("11", "RUNNING")
    assert (found[two.id].job, found[two.id].state) == ("10_1", "COMPLETED")
    alone = newest_jobs(world.root, submission.everything(world.root), {two.id}, Schedulers())
    assert alone.states.keys() == {two.id}


def test_what_was_never_submitted_has_no_job(world: World) -> None:
    stage = world.stage()
    world.submit(stage, job=None, submitter={"host": "gone", "boot": "x"})
    assert by_stage(world) == {}
    world.says("squeue", code=1)
    assert by_stage(world)[stage.id].state == "UNKNOWN"


@pytest.mark.parametrize("end", ["FAILED", "COMPLETED", "RUNNING"])
def test_what_waits_for_a_job_that_failed_waits_in_vain(world: World, end: str) -> None:
    """Before SLURM itself has noticed."""
    parents = [world.stage(), world.stage(run="tiny-s1")]
    children = [world.stage("knn", parent=one.id) for one in parents[:1]]
    children.append(world.stage("knn", run="tiny-s1", parent=parents[1].id))
    probes = Array("probes", "knn", tuple(c.id for c in children), after=(0,), job="13")
    made = world.submit(*parents, arrays=[probes])
    waits = "".join(f"13|{n}|PENDING||probes|Dependency\n" for n in (0, 1))
    runs = listed(made, "12_0", "RUNNING") + listed(made, "12_1", end)
    world.says("squeue", runs + waits)
    world.says("sacct", accounted(made, "12_1", end, "1:0") if end != "RUNNING" else "")
    found = by_stage(world)
    assert found[children[0].id].live
    assert found[children[1].id].live == (end != "FAILED")
    if end == "FAILED":
        (row,) = StatusReader(world.root).read({children[1].id}).rows
        assert (row.state, row.why) == ("cancelled", f"its parent {parents[1].id} failed")


@pytest.mark.parametrize("several", [False, True])
def test_what_waits_for_a_failed_job_of_an_earlier_submission(world: World, several: bool) -> None:
    parents = [world.stage(), world.stage(run="tiny-s1")]
    children = [world.stage("knn", parent=parents[0].id)]
    if several:
        children.append(world.stage("knn", run="tiny-s1", parent=parents[1].id))
    before = world.submit(*parents, ago_s=7200)
    made = world.submit(*children, job="13", waits=("12" if several else "12_0",))
    words = "".join(listed(made, job, "PENDING", "Dependency") for job in ("13_0", "13_1"))
    if not several:
        words = listed(made, "13", "PENDING", "Dependency")
    world.says("squeue", words + listed(before, "12_1", "RUNNING"))
    world.says("sacct", accounted(before, "12_0", "FAILED", "1:0"))
    found = by_stage(world)
    assert not found[children[0].id].live
    assert all(found[child.id].live for child in children[1:])


def test_accounting_alone_gives_up_nothing_that_waits(world: World) -> None:
    """It may have been released since, and run."""
    parent = world.stage()
    child = world.stage("knn", parent=parent.id)
    before = world.submit(parent, ago_s=7200)
    made = world.submit(child, job="13", waits=("12",))
    pending = accounted(made, "13", "PENDING", reason="Dependency")
    world.says("squeue", code=1)
    world.says("sacct", pending + accounted(before, "12", "FAILED", "1:0"))
    assert by_stage(world)[child.id].live


def test_what_is_being_submitted(world: World) -> None:
    stage = world.stage()
    world.submit(stage, job=None, submitter=identity(), ago_s=1)
    found = by_stage(world)[stage.id]
    assert (found.state, found.live) == ("SUBMITTING", True)


def test_a_background_job_is_a_process_that_names_its_submission(world: World) -> None:
    stage = world.stage()
    made = world.submit(stage, on="local", job="1", ago_s=1)
    words = [sys.executable, "-c", "import time; time.sleep(60)", f"/submissions/{made.id}"]
    process = subprocess.Popen(words)
    try:
        submission.write(world.root, made.job(0, str(process.pid)))
        found = by_stage(world)[stage.id]
        assert (found.state, found.live) == ("RUNNING", True)
    finally:
        process.kill()
        process.wait()
    assert by_stage(world)[stage.id].state == "GONE"
    submission.write(world.root, made.job(0, str(os.getpid())))
    assert by_stage(world)[stage.id].state == "GONE", "another's number"


def test_a_background_job_of_another_machine_is_known_by_its_stages(world: World) -> None:
    one, two = world.stage(), world.stage(run="tiny-s1")
    world.submit(one, two, on="local", job="1", host="elsewhere", ago_s=2 * FAR_SILENCE_S)
    assert by_stage(world)[one.id].state == "GONE"
    world.attempt(two, silent_s=2 * FAR_SILENCE_S)
    assert by_stage(world)[one.id].state == "GONE"
    world.attempt(two, silent_s=FAR_SILENCE_S / 2)
    assert by_stage(world)[one.id].state == "UNKNOWN"


@pytest.mark.parametrize("hidden", ["container", "processes"])
def test_so_is_one_whose_process_cannot_be_seen(
    world: World, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    one, two = world.stage(), world.stage(run="tiny-s1")
    number, _, _ = boot().partition(" ")
    elsewhere = {"boot": f"{number} pid:[1]"} if hidden == "container" else {}
    old = 2 * FAR_SILENCE_S
    world.submit(one, two, on="local", job="1", ago_s=old, submitter=elsewhere, user="other")
    if hidden == "processes":
        monkeypatch.setattr("harness.store.operating_system.start_time", lambda _: "")
    assert by_stage(world)[one.id].state == "GONE"
    world.attempt(two, silent_s=FAR_SILENCE_S / 2)
    found = by_stage(world)[one.id]
    assert found.state == "UNKNOWN"
    assert hidden in found.reason


def test_a_background_job_before_a_reboot_has_ended(world: World) -> None:
    stage = world.stage()
    world.submit(stage, on="local", job="1", ago_s=1, submitter={"boot": "other pid:[1]"})
    assert by_stage(world)[stage.id].state == "GONE"


def test_a_launcher_of_another_package_that_fails_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def boom(*_: object) -> None:
        raise ValueError("boom")

    own = Launcher("own", "Own", "own.run:Own", jobs="own.jobs:Own")
    monkeypatch.setattr(module, "launchers", lambda: {"own": own})
    monkeypatch.setattr(module, "call", lambda _: SimpleNamespace(query=boom, held=boom))
    world.submit(world.stage(), on="own", job="1")
    with pytest.raises(HarnessError, match=r"own\.jobs:Own.*ValueError: boom"):
        by_stage(world)
    with pytest.raises(HarnessError, match=r"own\.jobs:Own.*ValueError: boom"):
        Schedulers().held(world.root, submission.everything(world.root))


def test_old_numbers_are_not_asked_for(world: World) -> None:
    """SLURM counts from 1 again after some years."""
    world.submit(world.stage(), ago_s=3 * 86_400)
    by_stage(world)
    (start,) = [w for w in world.called("sacct")[0] if w.startswith("--starttime=")]
    begun = time.mktime(time.strptime(start.partition("=")[2], "%Y-%m-%dT%H:%M:%S"))
    assert 3.9 * 86_400 < time.time() - begun < 4.1 * 86_400


# ---- what this SLURM does not show


def test_a_job_of_another_cluster_is_not_judged_from_here(world: World) -> None:
    stage = world.stage()
    world.submit(stage, cluster="there")
    found = by_stage(world)[stage.id]
    assert found.state == "UNKNOWN"
    assert "cluster there" in found.reason
    (row,) = StatusReader(world.root).read().rows
    assert row.state == "unknown"
    assert row.why == f"job 12 {found.reason}"


def test_one_of_another_cluster_that_was_never_numbered(world: World) -> None:
    stage = world.stage()
    world.submit(stage, cluster="there", job=None)
    assert by_stage(world)[stage.id].state == "UNKNOWN"


def test_one_of_another_cluster_that_said_it_failed(world: World) -> None:
    failed, stopped = world.stage(), world.stage(run="tiny-s1")
    for folder, how in ((failed, "failed"), (stopped, "interrupted")):
        path = world.attempt(folder, how=how, message="no data")
        who = {"host": "n7", "pid": 321, "slurm": {"job": "12", "restart": 0, "cluster": "there"}}
        (path / "alive.json").write_text(json.dumps(who))
        world.submit(folder, cluster="there")
    found = by_stage(world)
    assert (found[failed.id].state, found[stopped.id].state) == ("GONE", "UNKNOWN")
    states = {row.id: row.state for row in StatusReader(world.root).read().rows}
    assert states == {failed.id: "failed", stopped.id: "unknown"}, "the other may be requeued"


def test_two_clusters_with_the_same_number(world: World) -> None:
    ours, theirs = world.stage(), world.stage(run="tiny-s1")
    world.submit(theirs, cluster="there")
    made = world.submit(ours)
    world.says("squeue", listed(made, "12", "FAILED"))
    world.says("sacct", accounted(made, "12", "FAILED"))
    found = by_stage(world)
    assert found[ours.id].state == "FAILED"
    assert found[theirs.id].state == "UNKNOWN"


def test_a_record_that_names_no_cluster_is_of_this_one(world: World) -> None:
    stage = world.stage()
    world.submit(stage, cluster="")
    assert by_stage(world)[stage.id].state == "GONE"


def test_another_users_job_where_slurm_hides_it(world: World) -> None:
    mine, anns = world.stage(), world.stage(run="tiny-s1")
    world.submit(mine, job="10")
    world.submit(anns, job="11", user="ann")
    assert by_stage(world)[anns.id].state == "GONE"
    world.says("scontrol", "ClusterName = here\nPrivateData = jobs,usage\n")
    found = by_stage(world)
    assert (found[mine.id].state, found[anns.id].state) == ("GONE", "UNKNOWN")
    assert found[anns.id].reason.startswith("belongs to ann")


def test_the_cluster_is_asked_for_its_name_only_if_something_is_missing(world: World) -> None:
    made = world.submit(world.stage())
    world.says("squeue", listed(made, "12", "RUNNING"))
    by_stage(world)
    assert world.called("scontrol") == []


# ---- the grace, one for status and for plans


def planned(world: World, path: Path) -> tuple[str, str, str]:
    """(action, why, row's state) of the recipe's pre-training."""
    found = plan_with_jobs.plan_with_jobs(path, [], world.root)
    stage = found.plan.stages[0]
    (row,) = StatusReader(world.root).read({stage.id}).rows
    return stage.action, stage.why, row.state


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


def stage_of(world: World, path: Path) -> StageFolder:
    return StageFolder(world.root / make_plan(path, [], world.root).stages[0].id)


def create(world: World, path: Path) -> StageFolder:
    folder = stage_of(world, path)
    folder.create({"id": folder.id, "kind": "pretrain", "group": "tiny"})
    return folder


def test_one_that_left_the_queue_this_moment_is_left_alone(world: World, tiny: Path) -> None:
    folder = create(world, tiny)
    world.submit(folder, ago_s=GRACE_S / 2)
    why = "job 12 has left the queue; its final state is not known yet"
    assert planned(world, tiny) == ("busy", why, "unknown")
    with pytest.raises(HarnessError, match="has left the queue"):
        plan_with_jobs.plan_with_jobs(tiny, [], world.root).check()


def test_after_a_while_it_is_lost(world: World, tiny: Path) -> None:
    world.submit(create(world, tiny), ago_s=2 * GRACE_S)
    assert planned(world, tiny)[::2] == ("run", "lost")


def test_its_last_word_counts_from_when_it_was_heard(world: World, tiny: Path) -> None:
    folder = create(world, tiny)
    world.submit(folder, ago_s=7200)
    attempt = world.attempt(folder, job="12", silent_s=3600)
    assert planned(world, tiny)[::2] == ("resume", "lost")
    then = time.time() - GRACE_S / 2
    os.utime(attempt / "metrics.jsonl", (then, then))
    assert planned(world, tiny)[::2] == ("busy", "unknown")
    (attempt / "ended.json").write_text('{"how": "failed", "message": "no data"}')
    assert planned(world, tiny)[::2] == ("retry", "failed"), "it has told how it ended"


def test_a_heart_that_beats_is_left_alone_though_slurm_knows_no_job(
    world: World, tiny: Path
) -> None:
    folder = create(world, tiny)
    world.submit(folder, ago_s=7200)
    world.attempt(folder, job="12")
    assert planned(world, tiny)[::2] == ("busy", "running")


@pytest.mark.parametrize(
    ("state", "cluster", "action"), [("RUNNING", "", "busy"), ("", "there", "again")]
)
def test_what_is_run_again_is_left_to_a_live_job_alone(
    world: World, tiny: Path, state: str, cluster: str, action: str
) -> None:
    """A background job sets the old result aside when it begins; an unknown job of a result that
    is there stops nobody."""
    folder = create(world, tiny)
    atomic.write_json(folder.path / "result.json", {"state": "finished", "edition": "old"})
    made = world.submit(folder, cluster=cluster)
    if state:
        world.says("squeue", listed(made, "12", state))
    found = plan_with_jobs.plan_with_jobs(tiny, [], world.root, again=True)
    assert found.plan.stages[0].action == action
    found.check()


def test_a_plan_says_on_which_cluster_and_what_to_do(world: World, tiny: Path) -> None:
    made = world.submit(create(world, tiny), cluster="there")
    assert planned(world, tiny)[1].startswith("job 12 is on cluster there")
    with pytest.raises(HarnessError, match=rf"cluster there.* {made.id}\.json "):
        plan_with_jobs.plan_with_jobs(tiny, [], world.root).check()


# ---- other launchers


def test_jobs_of_a_launcher_that_is_not_installed_may_be_alive(world: World) -> None:
    stage = world.stage()
    made = world.submit(stage, on="absent")
    found = by_stage(world)[stage.id]
    assert (found.state, found.on) == ("UNKNOWN", "absent")
    assert "absent" in found.reason
    (row,) = StatusReader(world.root).read().rows
    assert (row.state, row.why) == ("unknown", f"job 12 {found.reason}")
    held, notes = Schedulers().held(world.root, [made])
    assert {stage for _, stage in held} == {stage.id, ""}
    assert notes
