"""The cluster of these tests is one: it runs jobs, keeps accounts, and goes away whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm.cluster import Cluster
from slurm.keeper import children, descendants

import harness

TESTS = Path(__file__).parents[1]

STUBBORN = "srun sh -c 'trap : TERM; while :; do sleep 1; done'"
"""A task that SIGTERM does not end, as submitit's."""

MEET = """
import os, torch
from harness.runtime.environment import resolve
from harness.runtime.world import join

place = resolve(os.environ)
with join(place, torch.device("cpu")) as world:
    total = int(world.sum(torch.tensor([1 + world.rank])))
print(place.rank, place.size, place.local_size, total, flush=True)
"""


def _leave(pids: list[int], seconds: float) -> bool:
    """Whether these processes end in time."""
    end = time.monotonic() + seconds
    while set(pids) & {pid for below in children().values() for pid in below}:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_job_on_two_nodes_runs_and_sees_its_gpus(cluster: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "out"
    show = "echo $SLURMD_NODENAME $SLURM_PROCID $CUDA_VISIBLE_DEVICES"
    job = cluster.submit(f"srun sh -c '{show}' > {out}", "--nodes=2", "--gpus-per-node=2")
    cluster.wait(job, "COMPLETED")
    assert sorted(out.read_text().splitlines()) == ["127.0.0.1 0 0,1", "127.0.0.2 1 0,1"]
    cluster.until(lambda: cluster.accounted(job) == "COMPLETED", 20, "the job is in the accounts")


def test_processes_of_a_job_on_two_nodes_meet(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(harness.__file__).parents[1]))
    script, out = tmp_path / "meet.py", tmp_path / "out"
    script.write_text(MEET)
    job = cluster.submit(f"srun {sys.executable} {script} > {out} 2>&1", "--nodes=2")
    cluster.until(lambda: cluster.state(job) not in ("PENDING", "RUNNING"), 120, "the job has run")
    assert sorted(out.read_text().splitlines()) == ["0 2 1 3", "1 2 1 3"]


def test_clients_know_the_cluster_by_path_alone(cluster: Cluster, tmp_path: Path) -> None:
    """submitit drops all of SLURM's variables before a job submits another."""
    out = tmp_path / "out"
    inner = f"sbatch --parsable --wait --output=/dev/null --wrap=true > {out}"
    names = "$(env | sed -n 's/^\\(SLURM_[A-Z_]*\\)=.*/-u \\1/p')"
    job = cluster.submit(f"env {names} {inner}")
    cluster.wait(job, "COMPLETED")
    assert cluster.state(out.read_text().strip()) == "COMPLETED"


def test_a_second_cluster_lives_beside_and_goes_whole(cluster: Cluster) -> None:
    with Cluster(nodes=1) as other:
        job = other.submit(STUBBORN)
        mine = cluster.submit("sleep 60")
        other.wait(job, "RUNNING")
        cluster.wait(mine, "RUNNING")
        assert other.client("squeue", "-h", "-o", "%i") == job
        assert cluster.client("squeue", "-h", "-o", "%i") == mine
        pids = [pid for pid in descendants(os.getpid()) if _writes_to(pid, other.folder)]
        assert len(pids) >= 6, "five daemons and a step"
    assert _leave(pids, 0)
    assert not other.folder.exists()
    assert cluster.state(mine) == "RUNNING"


def _writes_to(pid: int, folder: Path) -> bool:
    """Whether a process has a file in the folder open, or is one of a job's there."""
    links = Path(f"/proc/{pid}/fd").glob("*")
    return any(str(link.readlink()).startswith(f"{folder}/") for link in links)


def test_a_killed_test_process_leaves_nothing(tmp_path: Path) -> None:
    program = f"""
import time
from slurm.cluster import Cluster
with Cluster(nodes=1) as cluster:
    cluster.wait(cluster.submit("{STUBBORN}"), "RUNNING")
    print(cluster.folder, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        pids = descendants(process.pid)
        process.kill()
    assert folder.name.startswith("slurm-")
    assert len(pids) >= 7, "the keeper, five daemons and a step"
    assert _leave(pids, 20)
    assert not folder.exists()


@pytest.mark.parametrize(("setting", "outcome"), [("", "1 skipped"), ("required", "1 error")])
def test_without_slurm_tests_are_skipped_unless_required(setting: str, outcome: str) -> None:
    test = f"{__file__}::{test_a_job_on_two_nodes_runs_and_sees_its_gpus.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", test],
        env={**os.environ, "PATH": "/nowhere", "MOCO_HARNESS_SLURM": setting},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert outcome in done.stdout
    if setting:
        assert "not installed: munge" in done.stdout or "needs root" in done.stdout
