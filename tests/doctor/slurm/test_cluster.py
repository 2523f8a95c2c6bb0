from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from doctor.fake import NODES, Clients, line

from harness.doctor.finding import Finding
from harness.doctor.slurm import cluster, limits
from harness.launch.slurm.site import SlurmSite

FITS = {"partition": "gpu", "gpus_per_node": 8, "cpus_per_process": 8, "mem_gb": 400}


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clients:
    monkeypatch.setenv("PATH", str(tmp_path))
    return Clients(tmp_path)


def checked(**said: object) -> dict[str, Finding]:
    own = SlurmSite.model_validate({**FITS, **said}, strict=False)
    return {found.about: found for found in cluster.findings(own)}


def test_a_site_that_fits(clients: Clients) -> None:
    assert clients.bin.exists()
    found = checked(nodes=2, account="vision", qos="low")
    assert {each.level for each in found.values()} == {"ok"}, found
    assert list(found) == [
        "controller", "accounting", "partition", "account", "qos", "nodes", "time", "arrays",
        "requeue", "preemption",
    ]  # fmt: skip


Change = Callable[[Clients], object]


@pytest.mark.parametrize(
    ("said", "change", "about", "level", "words"),
    [
        ({}, lambda c: c.without("sbatch"), "SLURM", "problem", "sbatch not on PATH"),
        ({}, lambda c: c.says("squeue", error="no way"), "controller", "problem", "no way"),
        ({}, lambda c: c.says("sacct", error="refused"), "accounting", "warning", "refused"),
        ({"partition": "cpu"}, None, "partition", "problem", "can be gpu"),
        ({}, lambda c: c.says("sinfo", error="late"), "nodes", "warning", "answer (late)"),
        ({}, lambda c: c.says("scontrol", error="late"), "partition", "warning", "answer (late)"),
        ({"partition": None}, None, "partition", "ok", "gpu is up"),
        (
            {"partition": None},
            lambda c: c.scontrol(line(Default="NO")),
            "partition", "problem", "one of gpu",
        ),
        ({}, lambda c: c.scontrol(line(State="DRAIN")), "partition", "problem", "gpu is drain"),
        ({"account": "other"}, None, "account", "warning", "vision"),
        (
            {"account": "other"},
            lambda c: c.scontrol(AccountingStorageEnforce="associations,limits"),
            "account", "problem", "vision",
        ),
        (
            {"account": "a"},
            lambda c: c.says("sacctmgr", error="down"),
            "account", "warning", "down",
        ),
        ({"qos": "high"}, None, "qos", "problem", "normal, low"),
        ({"nodes": 3}, None, "nodes", "problem", "has 2 of them"),
        ({"gpus_per_node": 16}, None, "nodes", "problem", "others have 64 CPUs, 8 GPUs"),
        ({"cpus_per_process": 9}, None, "nodes", "problem", "72 CPUs (8 x cpus_per_process 9)"),
        ({"mem_gb": 600}, None, "nodes", "problem", "500.0 GB"),
        ({"constraint": "ib", "nodes": 2}, None, "nodes", "problem", "no feature ib"),
        ({"constraint": "ib"}, None, "nodes", "ok", "has 1, 1 are up"),
        (
            {"nodes": 2},
            lambda c: c.says("sinfo", NODES.replace("mixed", "down*")),
            "nodes", "warning", "1 of them are up",
        ),
        (
            {"nodes": 2},
            lambda c: c.scontrol(line(MaxNodes="1")),
            "nodes", "problem", "allows a job 1",
        ),
        (
            {"hours": {"pretrain": 30}},
            None, "time", "problem", "slurm.hours.pretrain is 30 h, but gpu allows 24 h",
        ),
        ({}, lambda c: c.scontrol(line(MaxTime="UNLIMITED")), "time", "ok", "no limit"),
        (
            {},
            lambda c: c.scontrol(SchedulerParameters="defer,max_array_tasks=500"),
            "arrays", "problem", "max_array_tasks is 500",
        ),
        ({}, lambda c: c.scontrol(MaxJobCount="800"), "arrays", "problem", "MaxJobCount is 800"),
        ({"max_array": 2000}, None, "arrays", "problem", "MaxArraySize is 1001"),
        ({}, lambda c: c.scontrol(MaxArraySize="0"), "arrays", "problem", "MaxArraySize is 0"),
        ({"max_array": 1}, lambda c: c.scontrol(MaxArraySize="0"), "arrays", "ok", "1 elements"),
        ({}, lambda c: c.scontrol(JobRequeue="0"), "requeue", "warning", "JobRequeue=0"),
        ({}, None, "preemption", "ok", "60 s for a checkpoint"),
        ({}, lambda c: c.scontrol(PreemptType="preempt/none"), "preemption", "ok", "none here"),
        (
            {},
            lambda c: c.scontrol(line(GraceTime="0")),
            "preemption", "warning", "gpu has no GraceTime. Only the periodic",
        ),
        (
            {},
            lambda c: c.scontrol(SlurmctldParameters="(null)"),
            "preemption", "warning", "lacks preempt_send_user_signal",
        ),
        (
            {},
            lambda c: c.scontrol(line(PreemptMode="CANCEL")),
            "preemption", "warning", "cancelled, not requeued",
        ),
        ({}, lambda c: c.scontrol(line(PreemptMode="SUSPEND")), "preemption", "ok", "suspended"),
        (
            {},
            lambda c: c.scontrol(line(PreemptMode="GANG,SUSPEND")),
            "preemption", "ok", "suspended",
        ),
        ({}, lambda c: c.scontrol(line(PreemptMode="GANG")), "preemption", "ok", "none here"),
    ],
)  # fmt: skip
def test_what_is_found(
    clients: Clients,
    said: dict[str, object],
    change: Change | None,
    about: str,
    level: str,
    words: str,
) -> None:
    if change is not None:
        change(clients)
    found = checked(**said)[about]
    assert (found.level, words in found.says) == (level, True), found


@pytest.mark.parametrize(
    ("said", "about", "near"),
    [
        ({"partition": "gpus"}, "partition", "gpu"),
        ({"partition": "GPU"}, "partition", "gpu"),
        ({"account": "vison"}, "account", "vision"),
        ({"qos": "norml"}, "qos", "normal"),
    ],
)
def test_a_name_that_is_nearly_right(
    clients: Clients, said: dict[str, object], about: str, near: str
) -> None:
    clients.scontrol(line(GraceTime="0"))
    found = checked(**said)
    assert f"did you mean {near}?" in found[about].says
    others = {each.about for each in found.values() if each.level != "ok"} - {about}
    assert others == (set() if about == "partition" else {"preemption"}), "of a partition not there"


TWO = line() + line(PartitionName="spare", Default="NO", MaxTime="02:00:00", GraceTime="0")


def test_of_several_partitions_one_has_to_fit(clients: Clients) -> None:
    clients.scontrol(TWO)
    own = SlurmSite.model_validate({**FITS, "partition": "gpu,spare"})
    found = list(cluster.findings(own))
    assert [each.says for each in found if each.about == "partition"] == ["gpu, spare are up"]
    assert {each.level for each in found} == {"ok", "warning"}
    told = [each.says for each in found if each.level == "warning"]
    assert "slurm.hours.pretrain is 24 h, but spare allows 2 h" in told[0]
    assert "spare has no GraceTime" in told[-1]
    assert not any("gpu allows" in each for each in told)


@pytest.mark.parametrize(
    ("partition", "lines", "level", "words"),
    [
        ("gpu,none", TWO, "problem", "none: no such partition"),
        ("gpu,spare", TWO.replace("UP", "DOWN"), "problem", "gpu is down, spare is down"),
        (
            "gpu,spare",
            line() + line(PartitionName="spare", State="DRAIN"),
            "warning", "gpu is up, but spare is drain",
        ),
    ],
)  # fmt: skip
def test_several_partitions(
    clients: Clients, partition: str, lines: str, level: str, words: str
) -> None:
    clients.scontrol(lines)
    found = checked(partition=partition)["partition"]
    assert (found.level, words in found.says) == (level, True), found


def test_where_no_partition_fits(clients: Clients) -> None:
    clients.scontrol(TWO)
    assert checked(partition="gpu,spare", nodes=3)["nodes"].level == "problem"


@pytest.mark.parametrize(
    ("gres", "count"),
    [("(null)", 0), ("gpu:2", 2), ("gpu:a100:8(S:0-1),gpu:v100:4", 12), ("shard:4,gpu:1", 1)],
)
def test_gpus(gres: str, count: int) -> None:
    assert cluster.gpus(gres) == count


@pytest.mark.parametrize(
    ("text", "hours"),
    [("UNLIMITED", None), ("12:30:00", 12.5), ("2-00:00:00", 48.0), ("00:00:36", 0.01)],
)
def test_hours(text: str, hours: float | None) -> None:
    assert limits.hours(text) == hours


@pytest.mark.parametrize(
    ("said", "most"),
    [("(null)\ngpu:a100:4\ngpu:a100:8(S:0-1)\n", 8), ("(null)\n", 0), ("", 0)],
)
def test_the_gpus_of_the_largest_node(clients: Clients, said: str, most: int) -> None:
    clients.says("sinfo", said)
    assert cluster.most_gpus() == most
    clients.says("sinfo", error="no controller")
    assert cluster.most_gpus() == 0
