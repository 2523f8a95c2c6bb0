"""`certify` on a real cluster, over gloo; and the certificate in a report."""

from __future__ import annotations

from slurm.campaign import Campaign
from slurm.cluster import Cluster

from harness.store import certificate
from harness.store.edition import edition


def test_certify(cluster: Cluster, campaign: Campaign) -> None:
    campaign.site(nodes=2)
    said = campaign.moco("certify", "--yes", "--data", campaign.place / "none")
    (found,) = certificate.of(campaign.runs, edition("pretrain", "moco"))
    assert found.passed
    outcomes = {check.name: check.outcome for check in found.checks}
    assert list(outcomes.values()) == ["passed"] * 3 + ["skipped"] * 2, said
    assert found.hardware["processes"] == found.hardware["nodes"] == 2
    assert found.hardware["backend"] == "gloo"
    requeued = found.checks[2]
    assert requeued.figures["lives"] == 3
    assert requeued.figures["differing"] == 0
    assert [path.name for path in campaign.runs.glob("certificates/*")] == [
        f"{edition('pretrain', 'moco')}-{found.digest}.json"
    ]
    assert cluster.client("squeue", "-h", "-t", "PD,R") == ""
    report = campaign.moco("report", "tiny.yaml", "--out", campaign.place / "report")
    assert report
    page = (campaign.place / "report" / "report.md").read_text()
    assert "is certified: passed 3 checks" in page
    assert "uncertified" not in page
