"""What a real cluster refuses, and a cluster that does not answer."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from slurm.campaign import Campaign
from slurm.cluster import Cluster

from harness.launch.slurm import launcher as slurm
from harness.store import submission


def refused(campaign: Campaign, *words: object) -> str:
    """What `run` says; it must fail, and in less than a minute."""
    return refusal(campaign.begin("run", "tiny.yaml", *words))


def refusal(process: subprocess.Popen[str]) -> str:
    """What it says that fails, in less than a minute."""
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("asks", "field", "reason"),
    [
        ({"gpus_per_node": 4}, "slurm.gpus_per_node: 4", "node configuration is not available"),
        ({"mem_gb": 9999}, "slurm.mem_gb: 9999", "Memory specification"),
        ({"partition": "nope"}, "slurm.partition: nope", "Invalid partition"),
        ({"constraint": "nope"}, "slurm.constraint: nope", "Invalid feature"),
        ({"extra": {"nodelist": "nope"}}, "site file", "Invalid node name"),
    ],
)
def test_what_no_node_has(
    cluster: Cluster, campaign: Campaign, asks: dict[str, Any], field: str, reason: str
) -> None:
    """SLURM keeps some of these as failed jobs of their names."""
    campaign.site(**asks)
    said = refused(campaign)
    assert reason in said
    assert field in said
    assert "Nothing was submitted" in said
    assert "submitted 3 stages" not in said
    (record,) = campaign.submissions()
    assert record.arrays == ()
    assert cluster.client("squeue", "-h") == ""
    campaign.site(extra={"hold": True})
    assert "submitted 3 stages in 4 arrays" in campaign.moco("run", "tiny.yaml")


def test_what_slurm_takes_but_never_starts(cluster: Cluster, campaign: Campaign) -> None:
    cluster.client("scontrol", "create", "partition=short", "nodes=ALL", "maxtime=90")
    try:
        campaign.site(partition="short", hours={"pretrain": 2, "linear": 1})
        said = refused(campaign)
        job = campaign.submissions()[0].arrays[0].job
        assert f"job {job} (pretrain): Partition" in said
        assert "slurm.hours.pretrain: 2" in said
        assert f"scancel {job} " in said
    finally:
        cluster.client("scancel", "--user=root")
        cluster.until(lambda: not cluster.client("squeue", "-h"), 30, "no job is left")
        cluster.client("scontrol", "delete", "partition=short")


@contextmanager
def unanswered(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, what: str, *, dead: bool
) -> Iterator[None]:
    """While this user's clients find munge or the controller dead, or as if frozen: what they
    connect to never says a word. The cluster itself goes on."""
    conf, settings = cluster.settings.conf.read_text(), cluster.settings
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        if what == "munge":
            path = f"{folder}/munge"
            conf = conf.replace(str(settings.munge), path)
            if not dead:
                made = stack.enter_context(socket.socket(socket.AF_UNIX))
                made.bind(path)
                made.listen(64)
        else:
            made = stack.enter_context(socket.socket())
            made.bind(("127.0.0.1", 0))
            if not dead:
                made.listen(64)
            port = made.getsockname()[1]
            conf = conf.replace(f"SlurmctldPort={settings.port + 2}", f"SlurmctldPort={port}")
        own = Path(folder) / "slurm.conf"
        own.write_text(conf)
        with monkeypatch.context() as patch:
            patch.setenv("SLURM_CONF", str(own))
            others = [p for p in os.environ["PATH"].split(":") if p != str(cluster.bin)]
            patch.setenv("PATH", ":".join(others))
            yield


@pytest.mark.parametrize("what", ["munge", "controller"])
def test_a_cluster_that_does_not_answer(
    cluster: Cluster, campaign: Campaign, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    with contextlib.ExitStack() as both:
        both.enter_context(unanswered(cluster, monkeypatch, what, dead=True))
        dead = campaign.begin("run", "tiny.yaml", "--runs", "dead")
        both.enter_context(unanswered(cluster, monkeypatch, what, dead=False))
        silent = campaign.begin("run", "tiny.yaml")
        interrupted = campaign.begin("run", "tiny.yaml", "--runs", "interrupted")
        assert interrupted.stdout is not None
        while "node-hours" not in (line := interrupted.stdout.readline()):
            assert line, "it has ended"
        time.sleep(1)
        began = time.monotonic()
        interrupted.send_signal(signal.SIGINT)
        interrupted.communicate(timeout=30)
        assert time.monotonic() - began < slurm.CONFIG_TIMEOUT_S - 5, "it heeds Ctrl-C meanwhile"
        assert interrupted.returncode not in (0, 1)
        assert "SLURM does not answer" in refusal(silent)
        said = refusal(dead)
    assert "SLURM does not answer" in said
    assert ("Munge" if what == "munge" else "Unable to contact") in said
    assert "site file" not in said
    for runs in ("runs", "dead", "interrupted"):
        assert submission.everything(campaign.place / runs) == []
    campaign.site(extra={"hold": True})
    assert "submitted 3 stages" in campaign.moco("run", "tiny.yaml")
    with unanswered(cluster, monkeypatch, what, dead=False):
        if what == "munge":
            again = refused(campaign)
            assert "SLURM controller does not answer" in again
            assert "Nothing was submitted" in again
        else:  # accounting knows them
            assert "nothing to submit: 3 stages" in campaign.moco("run", "tiny.yaml")
