"""What a cluster does to a real training: it ends with the weights of one that was left alone."""

from __future__ import annotations

from functools import partial

from cli.same import assert_same
from slurm.campaign import Campaign
from slurm.cluster import Cluster
from slurm.conftest import Whole
from slurm.long_run import LONG, Held, begun, ends, finishes, goes_on


def test_a_node_fails_and_comes_back(cluster: Cluster, campaign: Campaign, whole: Whole) -> None:
    """One of a job's two, with the process that writes: it leaves no word of its end. What runs on
    the other is ended too, and both are waited for."""
    campaign.site(nodes=2)
    number = begun(campaign)
    cluster.stop_node(cluster.nodes[0])
    pretrain = campaign.stage("pretrain")
    assert pretrain.result is None, "too late: it had finished"
    cluster.wait(number, "PENDING")
    cluster.start_node(cluster.nodes[0])
    assert_same(finishes(campaign), whole(2))
    assert cluster.restarts(number) == 1
    dead, alive = pretrain.attempts()
    assert not (dead / "ended.json").exists()
    assert ends(alive) == ("finished", 1)


def test_daemons_restart(cluster: Cluster, campaign: Campaign, whole: Whole) -> None:
    """As for an update: first the controller, then the node's slurmd. The training is held while
    they come and go, which may take longer than it does."""
    number = begun(campaign)
    pretrain = campaign.stage("pretrain")
    node = cluster.node_of(number)
    held = Held(pretrain)
    with held:
        cluster.stop_daemon("slurmctld")
    goes_on(campaign)
    with held:
        assert pretrain.result is None, "too late: it had finished"
        cluster.start_daemon("slurmctld")
        cluster.start_node(node)
        cluster.stop_daemon(node)
    goes_on(campaign)
    with held:
        assert pretrain.result is None, "too late: it had finished"
        cluster.start_node(node)
    assert_same(finishes(campaign), whole(1))
    (attempt,) = pretrain.attempts()
    assert ends(attempt) == ("finished", 0)


def requeued(cluster: Cluster, number: str, times: int) -> bool:
    return cluster.restarts(number) == times


def test_time_limits(cluster: Cluster, campaign: Campaign, whole: Whole) -> None:
    """Twice. SLURM looks at the time each half minute, and the run is held meanwhile."""
    campaign.site(hours={"pretrain": 1 / 6}, signal_s=60)
    number = begun(campaign)
    pretrain = campaign.stage("pretrain")
    for attempt in (1, 2):
        alive = pretrain.path / "attempts" / f"{attempt:04d}" / "alive.json"
        campaign.wait(alive.exists, f"attempt {attempt}")
        with Held(pretrain) as held:
            cluster.client("scontrol", "update", f"jobid={number}", "endtime=now+60")
            campaign.wait(held.warned, "the warning")
        campaign.wait(partial(requeued, cluster, number, attempt), "it is requeued")
        cluster.client("scontrol", "update", f"jobid={number}", "timelimit=10")
    found = finishes(campaign)
    assert_same(found, whole(1))
    assert [ends(attempt) for attempt in found.attempts()] == [
        ("interrupted", 0),
        ("interrupted", 1),
        ("finished", 2),
    ]
    logs = campaign.logs()
    assert "(49 remaining timeouts)" in logs
    assert "(48 remaining timeouts)" in logs


def ends_now(cluster: Cluster, number: int | str) -> bool:
    """False if the second is over when SLURM is asked, which is refused. One to come would have
    the job warned first."""
    try:
        cluster.client("scontrol", "update", f"jobid={number}", "endtime=now")
    except AssertionError as error:
        if "Invalid time" not in str(error):
            raise
        return False
    return True


def test_a_time_limit_that_was_not_heeded(
    cluster: Cluster, campaign: Campaign, whole: Whole
) -> None:
    """SLURM ends the job for good, says so, and `run` goes on."""
    number = begun(campaign)
    pretrain = campaign.stage("pretrain")
    with Held(pretrain):
        cluster.until(lambda: ends_now(cluster, number), 10, f"job {number} to end now")
        cluster.wait(number, "TIMEOUT")
    assert pretrain.result is None, "too late: it had finished"
    said = campaign.moco("status", "--all")
    assert "time limit" in said, said
    assert "submitted 2 stages" in campaign.moco("run", "tiny.yaml", *LONG)
    assert_same(finishes(campaign), whole(1))
