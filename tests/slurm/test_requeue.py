"""Jobs that are warned, requeued and ended, and what they come to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.same import assert_same
from slurm.campaign import Campaign
from slurm.cluster import Cluster

from harness.launch.truth import Truth
from harness.store import journal
from harness.store.layout import StageFolder

STEPS = 240
LONG = ["--set", f"optim.epochs={STEPS // 4}", "--set", "linear=null"]
"""Some seconds of work: time for more than one life of a job."""


Whole = Callable[[int], StageFolder]


@pytest.fixture
def campaign(cluster: Cluster, tmp_path: Path) -> Campaign:
    assert cluster.idle()
    place = tmp_path / "place"
    place.mkdir()
    return Campaign(place)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """whole(2): the pre-training as two processes make it here, undisturbed."""
    made: dict[int, StageFolder] = {}

    def of(processes: int) -> StageFolder:
        if processes not in made:
            alone = Campaign(tmp_path_factory.mktemp("whole"))
            alone.moco("run", "tiny.yaml", *LONG, "--on", "here", "--processes", processes)
            made[processes] = alone.stage("pretrain")
        return made[processes]

    return of


def begun(campaign: Campaign, steps: int = 8) -> str:
    """Submit a long run; its job, once it has made so many steps."""
    campaign.moco("run", "tiny.yaml", *LONG)
    reaches(campaign, steps)
    job = campaign.submissions()[-1].arrays[0].job
    assert job is not None
    return job


def reached(campaign: Campaign) -> int:
    if not list(campaign.runs.glob("*.pretrain-*")):
        return 0
    return max([0, *(r["step"] for r in journal.read(campaign.stage("pretrain")))])


def reaches(campaign: Campaign, steps: int) -> None:
    campaign.wait(lambda: reached(campaign) >= steps, f"{steps} steps")


def ends(attempt: Path) -> tuple[str, int]:
    """(how an attempt ended, the restart of its job that it was)."""
    how = json.loads((attempt / "ended.json").read_text())["how"]
    return how, json.loads((attempt / "alive.json").read_text())["slurm"]["restart"]


def finishes(campaign: Campaign) -> StageFolder:
    """The pre-training, once all is done."""
    campaign.wait(lambda: campaign.results().get("tiny-s0.knn"), "kNN")
    return campaign.stage("pretrain")


def test_preempted_twice(cluster: Cluster, campaign: Campaign, whole: Whole) -> None:
    """By a higher partition, on two processes; nothing is computed twice."""
    campaign.site(processes_per_node=2)
    job = begun(campaign)
    cluster.preempt(job)
    assert campaign.stage("pretrain").result is None, "too late: it had finished"
    before = reached(campaign)
    reaches(campaign, before + 8)
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
    assert steps == list(range(1, STEPS + 1)), "each life goes on where the last one stopped"


def test_a_time_limit(campaign: Campaign) -> None:
    """A minute is the least that SLURM gives, and it looks each half."""
    campaign.site(hours={"pretrain": 1 / 60}, signal_s=50)
    words = [*LONG[2:], "--set", "optim.epochs=4000"]
    campaign.moco("run", "tiny.yaml", *words)
    campaign.wait(lambda: reached(campaign), "a step")
    pretrain = campaign.stage("pretrain")
    campaign.wait(lambda: len(pretrain.attempts()) > 1, "it is requeued")
    assert ends(pretrain.attempts()[0]) == ("interrupted", 0)
    job = campaign.submissions()[0].arrays[0].job
    assert "(49 remaining timeouts)" in campaign.logs()
    before = reached(campaign)
    reaches(campaign, before + 1)
    assert campaign.submissions()[0].arrays[0].job == job


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
    (row,) = Truth(campaign.runs).look({campaign.stage("pretrain").id}).rows
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
    (row,) = Truth(campaign.runs).look({campaign.stage("pretrain").id}).rows
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
