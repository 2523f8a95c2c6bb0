"""Each fault of the cluster does to a trivial job what it does to any."""

from __future__ import annotations

from pathlib import Path

import pytest
from slurm.cluster import Cluster


def _running(cluster: Cluster, command: str, *options: str) -> str:
    job = cluster.submit(command, *options)
    cluster.wait(job, "RUNNING")
    return job


def test_preempted_job_is_warned_and_goes_on_later(cluster: Cluster, tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    # As submitit's: at the signal the task has its own job requeued.
    leave = 'trap "echo warned >> {0}; scontrol requeue \\$SLURM_JOB_ID" USR2'
    task = tmp_path / "task.sh"
    task.write_text(f"{leave.format(lives)}\necho begun >> {lives}\nwhile :; do sleep 0.1; done\n")
    job = _running(cluster, f"srun sh {task}", "--nodes=2", "--ntasks=1", "--signal=USR2@60")
    cluster.until(lives.exists, 20, "the task has begun")
    cluster.preempt(job)
    assert lives.read_text().split() == ["begun", "warned"]
    assert cluster.restarts(job) == 1
    cluster.until(lambda: lives.read_text().split()[2:] == ["begun"], 30, "it has begun again")


def test_requeued_job_runs_again(cluster: Cluster) -> None:
    job = _running(cluster, "sleep 60")
    cluster.requeue(job)
    assert cluster.state(job) != "RUNNING"
    cluster.wait(job, "RUNNING")
    assert cluster.restarts(job) == 1


def test_killed_rank_fails_its_element_of_an_array_alone(cluster: Cluster, tmp_path: Path) -> None:
    begun = f"touch {tmp_path}/$SLURM_ARRAY_TASK_ID-$SLURM_PROCID; exec sleep 60"
    array = cluster.submit(
        f"srun --kill-on-bad-exit=1 sh -c '{begun}'", "--nodes=2", "--array=0-1", "--no-requeue"
    )
    cluster.until(lambda: len(list(tmp_path.iterdir())) == 4, 20, "all tasks have begun")
    cluster.kill_rank(f"{array}_1", 1)
    cluster.wait(f"{array}_1", "FAILED")
    assert cluster.state(f"{array}_0") == "RUNNING"
    with pytest.raises(AssertionError, match="has no task 2"):
        cluster.kill_rank(f"{array}_0", 2)


def test_job_on_a_stopped_node_waits_for_another(cluster: Cluster) -> None:
    node = cluster.nodes[1]
    job = _running(cluster, "srun sleep 60", "--nodes=2")
    beside = _running(cluster, "sleep 60", f"--nodelist={cluster.nodes[0]}")
    cluster.stop_node(node)
    cluster.wait(job, "PENDING")
    assert cluster.node_state(node).startswith("DOWN")
    assert cluster.restarts(job) == 1
    assert cluster.state(beside) == "RUNNING"
    cluster.until(lambda: "NODE_FAIL" in cluster.accounted(job), 20, "the accounts say why")
    cluster.start_node(node)
    cluster.wait(job, "RUNNING")


def test_jobs_outlive_the_controller(cluster: Cluster, tmp_path: Path) -> None:
    job = _running(cluster, f"sleep 4; touch {tmp_path}/done")
    with cluster.no_controller():
        assert not cluster.alive("slurmctld")
        assert cluster.accounted(job) in ("PENDING", "RUNNING")
    cluster.restart_controller()
    cluster.wait(job, "COMPLETED")
    assert cluster.restarts(job) == 0
    assert (tmp_path / "done").exists()


def test_accounts_are_caught_up_with_after_an_outage(cluster: Cluster) -> None:
    with cluster.no_accounting():
        job = _running(cluster, "sleep 1")
        with pytest.raises(AssertionError, match="sacct"):
            cluster.accounted(job)
        cluster.wait(job, "COMPLETED")
    cluster.until(lambda: cluster.accounted(job) == "COMPLETED", 60, "the accounts know the job")


def test_a_cluster_is_whole_again_after_faults(cluster: Cluster) -> None:
    _running(cluster, "srun sh -c 'trap : TERM; while :; do sleep 1; done'", "--nodes=2")
    cluster.stop_node(cluster.nodes[0])
    for daemon in ("slurmctld", "slurmdbd", "mariadbd", "munged"):
        cluster.stop_daemon(daemon)
    cluster.heal()
    job = cluster.submit("true", "--nodes=2")
    cluster.wait(job, "COMPLETED")
    cluster.until(lambda: cluster.accounted(job) == "COMPLETED", 60, "the accounts answer")
