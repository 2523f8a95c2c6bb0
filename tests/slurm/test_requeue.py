"""Jobs that are warned, requeued and ended, and what they come to."""

from __future__ import annotations

import json

from cli.same import assert_same
from slurm.campaign import Campaign
from slurm.cluster import Cluster
from slurm.conftest import Whole
from slurm.long_run import LONG, STEPS, begun, ends, finishes, goes_on

from harness.launch.status import StatusReader


def test_preempted_twice(cluster: Cluster, campaign: Campaign, whole: Whole) -> None:
    """By a higher partition, on two processes; nothing is computed twice."""
    campaign.site(processes_per_node=2)
    job = begun(campaign)
    cluster.preempt(job)
    assert campaign.stage("pretrain").result is None, "too late: it had finished"
    goes_on(campaign)
    cluster.preempt(job)
    found = finishes(campaign)
    assert_same(found, whole(2))
    attempts = found.attempts()
    assert [ends(attempt) for attempt in attempts] == [
        ("interrupted", 0),
        ("interrupted", 1),
        ("finished", 2),
    ]
    steps = [
        json.loads(line)["step"]
        for attempt in attempts
        for line in (attempt / "metrics.jsonl").read_text().splitlines()
        if "train/loss" in line
    ]
    assert steps == list(range(1, STEPS + 1)), "each attempt goes on where the last one stopped"


def test_requeued_without_a_warning(cluster: Cluster, campaign: Campaign, whole: Whole) -> None:
    job = begun(campaign)
    cluster.requeue(job)
    found = finishes(campaign)
    assert_same(found, whole(1))
    assert [ends(attempt)[1] for attempt in found.attempts()] == [0, 1]


def test_a_node_dies_and_slurm_has_not_noticed(
    cluster: Cluster, campaign: Campaign, whole: Whole
) -> None:
    """The other node's process sees it at once; its error must not end the job as failed."""
    campaign.site(nodes=2)
    job = begun(campaign)
    node = cluster.nodes[1]
    cluster.stop_node(node, told=False)
    campaign.wait(lambda: cluster.restarts(job) == 1, "it is requeued", 120)
    (row,) = StatusReader(campaign.runs).read({campaign.stage("pretrain").id}).rows
    assert row.state == "interrupted"
    assert row.why.startswith("rank 1 died; ")
    cluster.start_node(node)
    found = finishes(campaign)
    assert_same(found, whole(2))
    assert [ends(attempt) for attempt in found.attempts()] == [("interrupted", 0), ("finished", 1)]
    assert cluster.restarts(job) == 1


def test_a_rank_that_is_killed_on_a_node_that_lives(cluster: Cluster, campaign: Campaign) -> None:
    """It may have wanted memory, and would again: the job has failed."""
    campaign.site(nodes=2)
    job = begun(campaign)
    cluster.kill_rank(job, 1)
    cluster.wait(job, "FAILED")
    assert cluster.restarts(job) == 0
    campaign.wait(cluster.idle, "the nodes are free", 60)
    (row,) = StatusReader(campaign.runs).read({campaign.stage("pretrain").id}).rows
    assert row.state == "failed"


def test_sigterm_alone_in_a_grace_period(
    cluster: Cluster, campaign: Campaign, whole: Whole
) -> None:
    """Where the cluster sends no signal of ours before it preempts."""
    job = begun(campaign)
    cluster.client("scancel", "--signal=TERM", job)
    campaign.wait(lambda: cluster.restarts(job) == 1, "it is requeued", 60)
    assert ends(campaign.stage("pretrain").attempts()[0]) == ("interrupted", 0)
    assert_same(finishes(campaign), whole(1))


def test_cancelled_it_does_not_come_back(
    cluster: Cluster, campaign: Campaign, whole: Whole
) -> None:
    job = begun(campaign)
    cluster.client("scancel", job)
    cluster.wait(job, "CANCELLED")
    campaign.wait(cluster.idle, "the nodes are free", 60)
    assert cluster.restarts(job) == 0
    assert ends(campaign.stage("pretrain").attempts()[0]) == ("interrupted", 0)
    assert "the job is completing" in campaign.logs()
    assert "submitted 2 stages" in campaign.moco("run", "tiny.yaml", *LONG)
    assert_same(finishes(campaign), whole(1))


def test_a_job_that_was_killed_is_not_waited_for(
    cluster: Cluster, campaign: Campaign, whole: Whole
) -> None:
    """SLURM says that it is over, so its last touch, though fresh, holds nothing."""
    job = begun(campaign)
    cluster.kill_rank(job, 0)
    campaign.wait(lambda: cluster.state(job) == "FAILED", "it has failed", 60)
    pretrain = campaign.stage("pretrain")
    (attempt,) = pretrain.attempts()
    who = json.loads((attempt / "alive.json").read_text())
    who["host"] = "another"  # whose processes cannot be looked for from here
    (attempt / "alive.json").write_text(json.dumps(who))
    assert "submitted 2 stages" in campaign.moco("run", "tiny.yaml", *LONG)
    assert ends(attempt) == ("interrupted", 0)
    assert f"SLURM ended its job {job} (FAILED)" in (attempt / "ended.json").read_text()
    assert_same(finishes(campaign), whole(1))
