"""From `run` to results on a real cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
from cli.same import assert_same
from slurm.campaign import Campaign
from slurm.cluster import Cluster

import harness
from harness.store.layout import StageFolder
from harness.store.submission import claim


def test_a_sweep(campaign: Campaign) -> None:
    """Its cells are submitted once, however often it is called, and end with a report; what is
    missing then is done by the next call."""
    grid = (
        *("sweep", "tiny.yaml", "--name", "mine", "--set", "contrast.momentum=0.5,0.9"),
        *("--set", "linear=null", "--set", "optim.epochs=1"),
    )
    assert "submitted 6 stages" in campaign.moco(*grid)
    assert "nothing to submit" in campaign.moco(*grid)
    (record,) = campaign.submissions()
    report = campaign.runs / "reports" / "mine" / "results.json"
    campaign.wait(report.exists, "the report")
    assert set(campaign.results().values()) == {"finished"}, campaign.logs()
    found = json.loads(report.read_text())["cells"]
    assert [cell["id"] for cell in found] == ["momentum=0.5", "momentum=0.9", "untrained"]

    lost = campaign.stage("knn", "mine.momentum=0.9-s0")
    shutil.rmtree(lost.path)
    report.unlink()
    assert "submitted 1 stage" in campaign.moco(*grid)
    campaign.wait(lambda: report.exists() and lost.result is not None, "the missing stage")
    assert len(campaign.submissions()) == 2
    assert record.name == "mine"


def queued(cluster: Cluster) -> Counter[str]:
    """How many elements of each job name the cluster has."""
    return Counter(cluster.client("squeue", "-h", "-r", "-o", "%j").split())


def jobs(campaign: Campaign) -> dict[str, str | None]:
    return {a.name: a.job for record in campaign.submissions() for a in record.arrays}


def test_an_ablation(
    cluster: Cluster, campaign: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As arrays, with probes behind their pre-trainings and the report behind all; by the code
    that was submitted, though the checkout breaks while the jobs wait."""
    checkout = tmp_path / "checkout"
    package = Path(harness.__file__).parent
    shutil.copytree(package, checkout / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(package.parent / "ablations", checkout / "ablations")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(checkout))
        patch.setenv("PYTHONSAFEPATH", "1")
        said = campaign.moco("run", "scale.yaml")
    (checkout / "harness" / "stage" / "pretrain.py").write_text("not Python any more")
    (campaign.place / "tiny.yaml").unlink()
    assert "submitted 6 stages in 4 arrays" in said
    (record,) = campaign.submissions()
    assert [len(array.stages) for array in record.arrays] == [2, 2, 2, 0]
    report = campaign.runs / "reports" / "scale" / "report.html"
    written = (report, report.with_name("results.json"))
    campaign.wait(lambda: all(path.exists() for path in written), "the report")
    assert set(campaign.results().values()) == {"finished"}, campaign.logs()
    assert len(campaign.results()) == 6
    for path in campaign.runs.glob("scale*.knn-*"):
        probe = StageFolder(path)
        parent = campaign.stage("pretrain", path.name.partition(".knn")[0])
        (attempt,) = probe.attempts()
        begun = (attempt / "attempt.json").stat().st_mtime
        assert begun > (parent.path / "result.json").stat().st_mtime
        who = json.loads((attempt / "alive.json").read_text())["slurm"]
        own = dict(record.arrays[1].elements())[probe.id]
        assert who == {"job": own, "restart": 0, "cluster": cluster.settings.name}
    assert record.cluster == cluster.settings.name
    cell = json.loads((report.parent / "results.json").read_text())["cells"][1]
    (run,) = cell["runs"]
    assert {stage["state"] for stage in run["stages"].values()} == {"finished"}
    campaign.wait(lambda: not queued(cluster), "the report's job has ended", 30)


def test_two_nodes_of_two_processes(campaign: Campaign) -> None:
    campaign.site(nodes=2, processes_per_node=2)
    words = ["run", "tiny.yaml", "--set", "linear=null"]
    campaign.moco(*words, "--runs", "whole", "--on", "here", "--processes", 4)
    assert "submitted 2 stages" in campaign.moco(*words)
    campaign.wait(lambda: campaign.results().get("tiny-s0.knn"), "kNN")
    for kind in ("pretrain", "knn"):
        found = campaign.stage(kind)
        assert (found.result or {})["processes"] == 4
        if kind == "pretrain":
            (path,) = (campaign.place / "whole").glob("*.pretrain-*")
            assert_same(found, StageFolder(path))
    campaign.wait((campaign.runs / "reports").exists, "the report")
    assert "nothing to do: everything is finished" in campaign.moco(*words)


def test_two_submitters_at_the_same_moment(cluster: Cluster, campaign: Campaign) -> None:
    campaign.site(extra={"hold": True})
    with claim(campaign.place / "runs"):  # both have to wait for it, and then go at once
        pair = [campaign.begin("run", "scale.yaml") for _ in range(2)]
        for process in pair:
            assert process.stdout is not None
            while "waiting for it" not in (line := process.stdout.readline()):
                assert line, "it has ended"
    said = [process.communicate(timeout=120)[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    assert sorted("submitted 6 stages" in text for text in said) == [False, True], said
    assert any("another process" in text for text in said)
    assert sorted(queued(cluster).values()) == [1, 2, 2, 2]
    assert len(campaign.submissions()) == 1
    assert "nothing to submit: 6 stages" in campaign.moco("run", "scale.yaml")


STOPS = """\
#!/bin/sh
out=$("{real}" "$@") || exit $?
n=$(($(cat count) + 1))
echo $n > count
[ $n = 2 ] && sleep 60
echo "$out"
"""


def test_a_submitter_that_dies_half_way(
    cluster: Cluster, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between sbatch's success and its record. Its jobs run, and only what is missing is
    submitted, behind them."""
    campaign.site(extra={"hold": True})
    (campaign.place / "count").write_text("0")
    script = campaign.place / "bin" / "sbatch"
    script.parent.mkdir()
    script.write_text(STOPS.format(real=cluster.bin / "sbatch"))
    script.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(script.parent), prepend=os.pathsep)
        dying = campaign.begin("run", "scale.yaml")
        campaign.wait(lambda: len(queued(cluster)) == 2, "two arrays are submitted", 60)
        dying.send_signal(signal.SIGKILL)
        dying.communicate()
    assert list(jobs(campaign).values())[1:] == [None, None, None]
    campaign.site()
    said = campaign.moco("run", "scale.yaml")
    assert "1 job arrays of an interrupted submission" in said
    assert "submitted 2 stages in 2 arrays" in said
    knn = list(jobs(campaign).values())[1]
    assert knn is not None
    assert queued(cluster).total() == 7
    first = next(iter(jobs(campaign).values()))
    cluster.client("scontrol", "release", str(first))
    cluster.client("scontrol", "release", knn)
    campaign.wait((campaign.runs / "reports" / "scale").exists, "the report")
    assert set(campaign.results().values()) == {"finished"}, campaign.logs()
    assert all(len(StageFolder(p).attempts()) == 1 for p in campaign.runs.glob("scale*"))


def test_what_depends_on_a_failure_is_cancelled_and_run_again(
    cluster: Cluster, campaign: Campaign
) -> None:
    campaign.site(setup=["[ ! -e broken ] || exit 3"], extra={"chdir": str(campaign.place)})
    (campaign.place / "broken").touch()
    words = ["run", "tiny.yaml", "--set", "linear=null", "--set", "optim.epochs=1"]
    campaign.moco(*words)
    campaign.wait(lambda: not queued(cluster), "all has failed or was cancelled", 60)
    (record,) = campaign.submissions()
    states = [cluster.accounted(str(array.job)) for array in record.arrays[:2]]
    assert states[0] == "FAILED"
    assert states[1].startswith("CANCELLED")
    (campaign.place / "broken").unlink()
    assert "submitted 2 stages" in campaign.moco(*words)
    campaign.wait(lambda: campaign.results().get("tiny-s0.knn") == "finished", "kNN")


def test_a_diverged_run_is_a_result_and_has_no_probes(campaign: Campaign) -> None:
    campaign.moco("run", "tiny.yaml", "--set", "optim.lr=1e30", "--set", "optim.epochs=6")
    campaign.wait((campaign.runs / "reports").exists, "the report")
    assert campaign.results() == {
        "tiny-s0.knn": None,
        "tiny-s0.linear": None,
        "tiny-s0.pretrain": "diverged",
    }
    assert campaign.stage("knn").attempts() == []
    assert campaign.logs().count(": none\n") == 2
