"""What status, logs and cancel say, held against a real SLURM."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from slurm.cluster import Cluster
from slurm.long_run import Held

import harness
from harness.launch.cancel import aim, stop
from harness.launch.status import Row, Statuses, StatusReader
from harness.store import atomic, submission
from harness.store.layout import StageFolder
from harness.store.submission import Array, Submission

CODE = Path(harness.__file__).parents[1]

LIVE = """
import sys, time
from pathlib import Path
from harness.store.attempt import begin
from harness.store.layout import StageFolder

attempt = begin(StageFolder(Path(sys.argv[1])))
attempt.record([{"step": 1, "epoch": 0.1, "train/loss": 3.0}])
time.sleep(600)
"""
"""An attempt that goes on until somebody ends it."""


class Bench:
    """A run root whose stages are jobs of the cluster."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.runs = folder / "runs"
        self.runs.mkdir()
        self.script = folder / "live.py"
        self.script.write_text(LIVE)
        self.reader = StatusReader(self.runs)

    def stage(self, name: str, parent: str | None = None) -> StageFolder:
        folder = StageFolder(self.runs / f"{name}.pretrain-0123456789")
        about = {"id": folder.id, "kind": "pretrain", "group": "bench", "parent": parent}
        folder.create({**about, "recipe": {}})
        return folder

    def live(self, stage: StageFolder) -> str:
        """The command that runs an attempt of the stage."""
        return f"PYTHONPATH={CODE} exec {sys.executable} {self.script} {stage.path}"

    def hand(
        self, command: str, *options: str, stages: list[StageFolder], ago_s: float = 0.0
    ) -> Submission:
        """Submit the stages as one array whose elements run the command."""
        sid = submission.new_id()
        array = Array(f"moco-{sid}-0", "pretrain", tuple(stage.id for stage in stages))
        made = submission.new(
            sid, on="slurm", recipe="x.yaml", sets=(), name="bench", code="", arrays=[array]
        )
        made = replace(made, t=made.t - ago_s, submitter={})
        folder = submission.folder(self.runs, sid)
        folder.mkdir(parents=True)
        several = len(stages) > 1
        log = folder / ("%A_%a_0_log" if several else "%j_0_log")
        words = [f"--job-name={array.name}", f"--output={log}.out", f"--error={log}.err"]
        words += [f"--array=0-{len(stages) - 1}"] if several else []
        made = made.job(0, self.cluster.submit(command, *words, "--requeue", *options))
        submission.write(self.runs, made)
        return made

    def status(self) -> Statuses:
        return self.reader.read()

    def row(self, stage: StageFolder) -> Row:
        return next(row for row in self.status().rows if row.id == stage.id)

    def becomes(self, stage: StageFolder, state: str, says: str = "", seconds: float = 40) -> Row:
        """Wait until the stage's row is so."""
        until = time.monotonic() + seconds
        while True:
            row = self.row(stage)
            if row.state == state and says in row.why:
                return row
            assert time.monotonic() < until, row
            time.sleep(0.1)


@pytest.fixture
def bench(cluster: Cluster, tmp_path: Path) -> Bench:
    return Bench(cluster, tmp_path)


def test_from_the_queue_to_scancel(bench: Bench) -> None:
    stages = [bench.stage("a"), bench.stage("b")]
    command = f"[ $SLURM_ARRAY_TASK_ID = 1 ] && sleep 600; {bench.live(stages[0])}"
    made = bench.hand(command, "--hold", stages=stages)
    job = made.arrays[0].job
    row = bench.becomes(stages[1], "held", f"job {job}_1 is held (JobHeldUser)")
    assert row.remedy == f"scontrol release {job}_1"
    bench.cluster.client("scontrol", "release", str(job))
    assert bench.becomes(stages[0], "running", "process").node in bench.cluster.nodes
    bench.becomes(stages[1], "running", "is starting")
    targets = aim(bench.status(), {stages[0].id})
    assert targets.jobs == {"slurm": [f"{job}_0"]}
    stop(targets)
    bench.becomes(stages[0], "cancelled", "cancelled by root")
    assert bench.row(stages[1]).state == "running", "its neighbour is left alone"


def test_a_job_that_does_not_run(bench: Bench) -> None:
    """Suspended, requeued into a hold, and ended on a node that does not say that it has ended."""
    stage = bench.stage("a")
    job = str(bench.hand(bench.live(stage), stages=[stage]).arrays[0].job)
    node = bench.becomes(stage, "running", "process").node
    bench.cluster.client("scontrol", "suspend", job)
    bench.becomes(stage, "suspended", f"job {job} is suspended")
    assert aim(bench.status(), {stage.id}).jobs == {"slurm": [job]}
    bench.cluster.client("scontrol", "resume", job)
    bench.becomes(stage, "running", "process")
    bench.cluster.client("scontrol", "requeuehold", job)
    row = bench.becomes(stage, "held", f"will resume as job {job}")
    assert row.remedy == f"scontrol release {job}"
    bench.cluster.client("scontrol", "release", job)
    bench.becomes(stage, "running", "process")
    with bench.cluster.frozen(node):
        bench.cluster.client("scancel", job)
        row = bench.becomes(stage, "ending", f"job {job} is ending")
        assert row.node == node
    bench.becomes(stage, "cancelled", "cancelled by root")


def test_a_process_that_is_stopped(bench: Bench) -> None:
    stage = bench.stage("a")
    bench.hand(bench.live(stage), stages=[stage])
    bench.becomes(stage, "running", "process")
    with Held(stage):
        bench.becomes(stage, "suspended", "kill -CONT")
    bench.becomes(stage, "running", "process")


def test_how_jobs_end(bench: Bench) -> None:
    one, two, three, four, five = (bench.stage(name) for name in "abcde")
    bench.hand("echo 'error: no such data' >&2; exit 3", stages=[one])
    bench.hand("kill -9 $$", stages=[two])
    bench.hand("true", stages=[three])
    bench.hand("true", "--output=/no/where/log", stages=[four])
    bench.hand("srun /no/python", stages=[five])
    row = bench.becomes(one, "failed", "no such data")
    assert row.log is not None
    assert row.log.read_text() == "error: no such data\n"
    bench.becomes(two, "failed", "killed (signal 9)")
    bench.becomes(three, "failed", "ended without a result")
    bench.becomes(four, "failed", f"see {bench.runs}")
    bench.becomes(five, "failed", "/no/python cannot be started on 127.0.0")


def test_a_child_of_a_parent_that_failed(bench: Bench) -> None:
    parent = bench.stage("parent")
    child = bench.stage("child", parent.id)
    made = bench.hand("sleep 1; exit 3", stages=[parent])
    behind = f"--dependency=afterok:{made.arrays[0].job}"
    bench.hand("true", behind, "--kill-on-invalid-dep=yes", stages=[child])
    bench.becomes(child, "waiting", "(Dependency)")
    bench.becomes(child, "cancelled", f"its parent {parent.id} failed")


def test_requeued_it_is_no_failure(bench: Bench) -> None:
    stage = bench.stage("a")
    made = bench.hand(bench.live(stage), stages=[stage])
    job = str(made.arrays[0].job)
    bench.becomes(stage, "running", "process")
    bench.cluster.client("scontrol", "requeue", job)
    seen = set()
    until = time.monotonic() + 60
    while len(stage.attempts()) == 1:
        seen.add(bench.row(stage).state)
        assert time.monotonic() < until
        time.sleep(0.1)
    bench.becomes(stage, "running", "process")
    assert seen <= {"running", "ending", "interrupted"}
    assert "interrupted" in seen


def test_a_node_that_fails(bench: Bench) -> None:
    comes_back, ends = bench.stage("a"), bench.stage("b")
    node = bench.cluster.nodes[1]
    bench.hand("sleep 600", f"--nodelist={node}", stages=[comes_back])
    bench.hand("sleep 600", f"--nodelist={node}", "--no-requeue", stages=[ends])
    for stage in (comes_back, ends):
        assert bench.becomes(stage, "running").node == node
    bench.cluster.stop_node(node)
    try:
        bench.becomes(ends, "failed", f"the node failed on {node}")
        bench.becomes(comes_back, "waiting", "is pending")
    finally:
        bench.cluster.start_node(node)


def test_without_accounting(bench: Bench) -> None:
    runs, fails, waits = (bench.stage(name) for name in "abc")
    with bench.cluster.no_accounting():
        bench.hand(bench.live(runs), stages=[runs])
        bench.hand("exit 3", stages=[fails])
        bench.hand("true", "--begin=now+1hour", stages=[waits])
        bench.becomes(runs, "running", "process")
        bench.becomes(fails, "failed")
        bench.becomes(waits, "waiting", "BeginTime")
        assert "accounting does not answer" in StatusReader(bench.runs).read().notes[0]
        (attempt,) = runs.attempts()
        os.kill(atomic.read_json(attempt / "alive.json")["pid"], signal.SIGKILL)
        bench.becomes(runs, "failed")


def test_while_the_controller_is_down(bench: Bench) -> None:
    runs, waits = bench.stage("a"), bench.stage("b")
    bench.hand(bench.live(runs), stages=[runs])
    bench.hand("true", "--begin=now+1hour", stages=[waits])
    bench.becomes(runs, "running", "process")
    bench.becomes(waits, "waiting")
    fresh = StatusReader(bench.runs)
    with bench.cluster.no_controller():
        seen = fresh.read()
        found = {row.id: row for row in seen.rows}
        assert found[runs.id].state == "running"
        assert found[waits.id].state in ("waiting", "unknown")
        assert "the SLURM controller does not answer" in seen.notes[0]
    bench.becomes(waits, "waiting", "BeginTime")
    assert fresh.read().notes == ()


def test_a_job_that_vanished(bench: Bench) -> None:
    stage = bench.stage("a")
    made = bench.hand("true", stages=[stage], ago_s=3600)
    gone = replace(made, arrays=(replace(made.arrays[0], name="moco-none-0", job="1"),))
    submission.write(bench.runs, gone)
    bench.becomes(stage, "lost")


def test_an_array_whose_submitter_died_is_found_by_name(bench: Bench) -> None:
    stages = [bench.stage("a"), bench.stage("b")]
    made = bench.hand("sleep 600", stages=stages)
    job = made.arrays[0].job
    forgotten = replace(made, arrays=(replace(made.arrays[0], job=None),))
    submission.write(bench.runs, forgotten)
    bench.becomes(stages[1], "running", f"job {job}_1")
    bench.cluster.client("scancel", str(job))
    bench.becomes(stages[1], "cancelled", "cancelled by root")


def test_thousands_of_elements_are_one_question(bench: Bench) -> None:
    stages = [bench.stage(f"s{n}") for n in range(500)]
    bench.hand("true", "--hold", stages=stages)
    assert {row.state for row in bench.status().rows} == {"held"}
