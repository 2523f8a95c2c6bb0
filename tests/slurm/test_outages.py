"""What a cluster does to a real training: it ends with the weights of one that was left alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

from cli.same import assert_same
from slurm.campaign import Campaign
from slurm.cluster import Cluster
from slurm.conftest import Whole
from slurm.lives import LONG, begun, ends, finishes, goes_on

from harness.store.layout import StageFolder


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
    """As for an update: first the controller, then the node's slurmd."""
    number = begun(campaign)
    pretrain = campaign.stage("pretrain")
    node = cluster.node_of(number)
    with cluster.no_controller():
        goes_on(campaign)
        assert pretrain.result is None, "too late: it had finished"
    cluster.stop_daemon(node)
    goes_on(campaign)
    assert pretrain.result is None, "too late: it had finished"
    cluster.start_node(node)
    assert_same(finishes(campaign), whole(1))
    (attempt,) = pretrain.attempts()
    assert ends(attempt) == ("finished", 0)


def test_time_limits(cluster: Cluster, campaign: Campaign, whole: Whole) -> None:
    """Twice. SLURM looks at the time each half minute, and the run is held meanwhile."""
    campaign.site(hours={"pretrain": 1 / 6}, signal_s=60)
    number = begun(campaign)
    pretrain = campaign.stage("pretrain")
    for life in (1, 2):
        alive = pretrain.path / "attempts" / f"{life:04d}" / "alive.json"
        campaign.wait(alive.exists, f"life {life}")
        with Held(pretrain) as held:
            cluster.client("scontrol", "update", f"jobid={number}", "endtime=now+60")
            campaign.wait(held.warned, "the warning")
        campaign.wait(lambda life=life: cluster.restarts(number) == life, "it is requeued")
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


def test_a_time_limit_that_was_not_heeded(
    cluster: Cluster, campaign: Campaign, whole: Whole
) -> None:
    """SLURM ends the job for good, says so, and `run` goes on."""
    number = begun(campaign)
    pretrain = campaign.stage("pretrain")
    with Held(pretrain):
        cluster.client("scontrol", "update", f"jobid={number}", "endtime=now")
        cluster.wait(number, "TIMEOUT")
    assert pretrain.result is None, "too late: it had finished"
    said = campaign.moco("status", "--all")
    assert "time limit" in said, said
    assert "submitted 2 stages" in campaign.moco("run", "tiny.yaml", *LONG)
    assert_same(finishes(campaign), whole(1))


class Held:
    """The process that lives a stage, stopped until the block ends or SLURM lets it go on."""

    def __init__(self, stage: StageFolder) -> None:
        self._pid = json.loads((stage.attempts()[-1] / "alive.json").read_text())["pid"]

    def warned(self) -> bool:
        """Whether SIGUSR2 waits for it, or has ended it."""
        try:
            lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        except OSError:
            return True
        masks = [line.split()[1] for line in lines if line.startswith("ShdPnd:")]
        return not masks or bool(int(masks[0], 16) >> (signal.SIGUSR2 - 1) & 1)

    def __enter__(self) -> Held:
        self._signal(signal.SIGSTOP)
        return self

    def __exit__(self, *_: object) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)
