"""What account and qos allow: the columns are sacctmgr's of SLURM 22.05."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctor.fake import Clients, line

from harness.doctor.finding import Finding
from harness.doctor.slurm import limits
from harness.launch.slurm.site import SlurmSite

ENFORCED = {"AccountingStorageEnforce": "associations,limits,qos,safe"}


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clients:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Clients(tmp_path)


def say(
    clients: Clients,
    account: dict[str, str],
    qos: dict[str, dict[str, str]] | None = None,
    partition: str = "",
) -> None:
    """sacctmgr answers so for the account vision, which is the user's default."""
    own = {"account": "vision", "partition": partition, **account}
    rows = [[own.get(c, "") for c in ["account", "partition", "defaultqos", *_ACCOUNT]]]
    rows.append(["other", "", "", *("0" for _ in _ACCOUNT)])
    named = {"normal": {}, **(qos or {})}
    by_qos = [[name, *(said.get(c, "") for c in _QOS)] for name, said in named.items()]
    clients.sacctmgr_says({"assoc": rows, "qos": by_qos, "user": [["vision"]]})


_ACCOUNT = list(limits._OF_ACCOUNT.values())
_QOS = list(limits._OF_QOS.values())
ASKS = {"partition": "gpu", "gpus_per_node": 8, "cpus_per_process": 8, "mem_gb": 400, "nodes": 2}


def checked(qos_of_partition: str = "N/A", /, **said: object) -> list[Finding]:
    own = SlurmSite.model_validate({**ASKS, **said}, strict=False)
    return list(limits.findings(own, {"QoS": qos_of_partition}, ENFORCED))


@pytest.mark.parametrize(
    ("account", "level", "words"),
    [
        ({}, "ok", "allow"),
        ({"maxsubmitjobs": "1000"}, "ok", "allow"),
        ({"maxsubmitjobs": "200"}, "warning", "slurm.max_array from 1000 to at most 200"),
        ({"grpsubmitjobs": "200"}, "warning", "together 200"),
        ({"maxsubmitjobs": "3"}, "problem", "3 jobs"),
        ({"maxsubmitjobs": "0"}, "problem", "0 jobs"),
        ({"maxjobs": "0"}, "problem", "none of your jobs"),
        ({"maxjobs": "1"}, "ok", "allow"),
        ({"maxwall": "12:00:00"}, "problem", "slurm.hours.pretrain is 24 h"),
        ({"maxwall": "2-00:00:00"}, "ok", "allow"),
        ({"maxtresperjob": "cpu=64,gres/gpu=16"}, "problem", "128 cpu"),
        ({"maxtresperjob": "gres/gpu=8"}, "problem", "slurm.gpus_per_node"),
        ({"maxtresperjob": "node=1"}, "problem", "slurm.nodes"),
        ({"maxtresperjob": "cpu=128,gres/gpu=16,node=2,mem=800G"}, "ok", "allow"),
        ({"maxtresperjob": "mem=500G"}, "problem", "slurm.mem_gb"),
        ({"maxtresperjob": "mem=1T,billing=3"}, "ok", "allow"),
        ({"maxtrespernode": "gres/gpu=4"}, "problem", "a node's share"),
        ({"grptres": "gres/gpu=8"}, "problem", "all jobs of your account"),
    ],
)
def test_an_accounts_limits(
    clients: Clients, account: dict[str, str], level: str, words: str
) -> None:
    say(clients, account)
    found = checked()
    assert {each.level for each in found} == {level}, found
    assert words in found[0].says


def test_where_several_set_a_limit_the_first_counts(clients: Clients) -> None:
    of_qos = {
        "gold": {"maxsubmitjobsperuser": "300", "maxwall": "3-00:00:00"},
        "part": {"maxsubmitjobsperuser": "100"},
    }
    say(clients, {"maxsubmitjobs": "20", "maxwall": "01:00:00", "defaultqos": "gold"}, of_qos)
    assert "qos gold allows you 300" in checked()[0].says
    assert "qos part allows you 100" in checked("part")[0].says
    found = checked(qos="normal")
    assert "account vision allows you 20" in found[0].says
    assert "slurm.hours.pretrain" in found[1].says


def test_another_account_and_another_partitions_limits_are_not_ours(clients: Clients) -> None:
    say(clients, {"maxsubmitjobs": "0"}, partition="cpu")
    assert [each.level for each in checked()] == ["ok"]
    assert checked(account="other")[0].level == "problem"


def test_limits_that_nobody_obeys(clients: Clients) -> None:
    say(clients, {"maxsubmitjobs": "0"})
    own = SlurmSite.model_validate(ASKS)
    assert list(limits.findings(own, {}, {"AccountingStorageEnforce": "associations"})) == []


def test_sacctmgr_that_does_not_answer(clients: Clients) -> None:
    clients.scontrol(line(), **ENFORCED)
    clients.says("sacctmgr", error="down")
    (found,) = checked()
    assert (found.level, "down" in found.says) == ("warning", True)


def test_a_user_without_a_name(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4242")

    monkeypatch.setattr("getpass.getuser", nobody)
    say(clients, {})
    assert [finding.level for finding in checked()] == ["ok"]
