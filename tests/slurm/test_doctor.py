"""The doctor on a real cluster: what it finds without a job, and on a node."""

from __future__ import annotations

from pathlib import Path

from slurm.campaign import Campaign
from slurm.cluster import Cluster

from harness.doctor.slurm import sight
from harness.launch.slurm.site import SlurmSite


def findings(said: str) -> dict[str, str]:
    """By what it is about, the level of each line."""
    lines = [line for line in said.splitlines() if line and not line.startswith(" ")]
    return {line[9:23].strip(): line[:9].strip() for line in lines}


def test_a_site_that_fits(campaign: Campaign) -> None:
    campaign.site(nodes=2, processes_per_node=2)
    said = campaign.moco("doctor", "--submit")
    found = findings(said)
    assert found.pop("data root") == "warning"
    found.pop("run root")  # how full the disk is
    found.pop("disk on node", None)
    assert set(found.values()) == {"ok"}, said
    assert found.keys() >= {"controller", "accounting", "partition", "nodes", "job", "shared"}
    assert "jobs are warned and have 10 s" in said
    assert list(campaign.runs.glob("submissions/doctor-*")) == []


def test_a_site_that_does_not(cluster: Cluster, campaign: Campaign) -> None:
    campaign.site(nodes=3, qos="none", max_array=5000, partition="high")
    process = campaign.begin("doctor", "--submit")
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    found = findings(said)
    problems = {about for about, level in found.items() if level == "problem"}
    assert problems == {"nodes", "qos", "arrays"}, said
    assert found["job"] == "warning"
    assert cluster.client("squeue", "-h") == ""


def test_what_a_node_does_not_see(cluster: Cluster, tmp_path: Path) -> None:
    """A job that needs no folder tells it by its exit code."""
    own, node = SlurmSite(partition="low"), cluster.nodes[1]
    assert list(sight.findings(own, tmp_path, node)) == []
    (found,) = sight.findings(own, tmp_path / "none", node)
    assert found.says.startswith(f"{node} ")
    assert f"{tmp_path}/none: " in found.says


def test_a_job_that_cannot_do_its_work(campaign: Campaign) -> None:
    """Its node has no GPU that PyTorch could use, and the setup breaks the snapshot."""
    campaign.site(gpus_per_node=2, setup=["export PYTHONPATH="])
    (campaign.place / "site.yaml").write_text(
        (campaign.place / "site.yaml").read_text().replace('"cpu"', '"auto"')
    )
    process = campaign.begin("doctor", "--submit")
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "PyTorch sees 0 GPUs on" in said
    assert findings(said)["shared"] == "ok", said
