"""What the doctor makes of a job that looked around on a node, and of one that could not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doctor.fake import Clients

from harness.command import Commands
from harness.doctor import probe
from harness.doctor.finding import Finding
from harness.doctor.slurm import job, sight
from harness.launch.slurm import remote_task
from harness.launch.slurm.remote_task import RemoteTask
from harness.launch.slurm.site import SlurmSite
from harness.site import Site
from harness.store import atomic
from harness.store.submission import Array


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clients:
    """A cluster whose sbatch runs the script at once, and whose scontrol tells its exit code."""
    (tmp_path / "bin").mkdir()
    clients = Clients(tmp_path / "bin")
    code = tmp_path / "code"
    clients._write(
        "sbatch",
        f'echo "$@" > {tmp_path}/words\nfor script; do :; done\nSLURM_JOB_ID=12 bash "$script"\n'
        f"echo $? > {code}\necho 12\n",
    )
    clients._write("scontrol", f"echo JobId=12 JobState=FAILED ExitCode=$(cat {code}):0 Node=n1\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return clients


def levels(found: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(each.level, each.about) for each in found]


def test_a_short_task_is_not_warned_when_it_starts(
    node: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.says("sbatch", "Submitted batch job 12\n")
    monkeypatch.setattr(remote_task.snapshot, "take", lambda *_, **__: tmp_path)
    site = Site(tmp_path, tmp_path / "runs", "cpu", 1, 1.0)
    own = SlurmSite(signal_s=900)
    sent = remote_task.send(("probe", {}), site, own, tmp_path / "sent", minutes=10)
    script = (sent.folder / f"{sent.array.name}.sh").read_text()
    assert "--time=10\n" in script
    assert "--signal=USR2@300\n" in script


@pytest.mark.usefixtures("node")
def test_a_node_that_sees_all(tmp_path: Path) -> None:
    own = SlurmSite(partition="gpu", gpus_per_node=2, extra={"exclusive": True})
    assert levels(sight.findings(own, tmp_path, "n1")) == []
    asked = (tmp_path / "words").read_text()
    assert "--exclusive" in asked
    assert "--nodelist=n1" in asked
    assert "--partition=gpu" in asked
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "code", "words"}, "left as it was"


@pytest.mark.usefixtures("node")
def test_a_node_that_does_not_see_the_run_root(tmp_path: Path) -> None:
    (found,) = sight.findings(SlurmSite(), tmp_path / "it's not there", "n1")
    assert (found.level, found.about) == ("problem", "run root on node")
    assert f"n1 cannot see {tmp_path}/it's not there" in found.says


@pytest.mark.usefixtures("node")
def test_a_node_with_another_folder_of_that_name(tmp_path: Path) -> None:
    """As on a disk of its own: what was just written here is not there."""
    runs = tmp_path / "runs"
    runs.mkdir()
    script = tmp_path / "bin" / "sbatch"
    script.write_text(
        script.read_text().replace("SLURM_JOB_ID", f"find {runs} -type f -delete\nSLURM_JOB_ID")
    )
    (found,) = sight.findings(SlurmSite(), runs, "n1")
    assert (found.level, found.about) == ("problem", "run root on node")
    assert "different folder" in found.says


@pytest.mark.usefixtures("node")
def test_a_node_that_may_not_write() -> None:
    (found,) = sight.findings(SlurmSite(), Path("/proc/self"), "")
    assert "a node cannot write to /proc/self" in found.says


@pytest.mark.usefixtures("node")
def test_a_node_without_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    (found,) = sight.findings(SlurmSite(), tmp_path, "n1")
    assert (found.level, found.about) == ("problem", "python on node")
    (tmp_path / "venv").mkdir()
    broken = tmp_path / "venv" / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    (found,) = sight.findings(SlurmSite(), tmp_path, "n1")
    assert "does not find its libraries on n1" in found.says


@pytest.mark.parametrize("answer", ["JobId=12 JobState=TIMEOUT ExitCode=0:15", "no such job"])
def test_a_look_that_fails(node: Clients, tmp_path: Path, answer: str) -> None:
    node._write("scontrol", f"echo '{answer}'\n")
    assert levels(sight.findings(SlurmSite(), tmp_path, "n1")) == [("warning", "sight")]
    node.says("sbatch", error="no")
    assert levels(sight.findings(SlurmSite(), tmp_path, "n1")) == [("warning", "sight")]


def test_a_job_that_does_not_begin_is_given_up(
    node: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sight, "WAIT_S", 0.1)
    monkeypatch.setattr(sight, "POLL_S", 0.05)
    node._write("scontrol", "echo 'JobId=12 JobState=PENDING ExitCode=0:0'\n")
    node._write("scancel", f'echo "$@" > {tmp_path}/cancelled\n')
    assert levels(sight.findings(SlurmSite(), tmp_path, "n1")) == [("warning", "sight")]
    assert (tmp_path / "cancelled").read_text() == "12\n"


ANSWER: dict[str, Any] = {
    "host": "n1", "python": "3.11", "torch": "2.1", "gpus": 0, "names": [], "nccl": False,
    "error": "", "data": True, "free_gb": 900, "cores": 8, "cpu": "x86", "reached": {"wandb": True},
    "modules": None,
}  # fmt: skip


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the job finds; without a host it ends without an answer, and leaves no log."""
    found = dict(ANSWER, computes=probe.python())

    def send(*said: Any, **_: object) -> RemoteTask:
        _, site, _, folder = said
        return RemoteTask(
            Array("moco-x", "knn", ("errand",), job="12"), folder, 0.0, Commands(site.runs)
        )

    def wait(*said: Any, **_: object) -> None:
        _, answer = said
        if not found["host"]:
            raise remote_task.Failed("job 12: no log", "n1", silent=True)
        token = (answer.parent / "token.txt").read_text()
        package = str(tmp_path / ".code" / "harness")
        atomic.write_json(answer, {"token": token, "harness": package, **found})

    monkeypatch.setattr(remote_task, "send", send)
    monkeypatch.setattr(remote_task, "wait", wait)
    return found


def checked(tmp_path: Path, *modules: str) -> dict[str, Finding]:
    site = Site(tmp_path, tmp_path, "cpu", 1, 1.0)
    own = SlurmSite(modules=modules)
    return {found.about: found for found in job.findings(site, own, lambda _: None)}


@pytest.mark.usefixtures("answers")
def test_a_node_that_fits(tmp_path: Path) -> None:
    assert {found.level for found in checked(tmp_path, "cuda").values()} == {"ok"}


@pytest.mark.parametrize(
    ("loaded", "absent"),
    [
        (["cuda/12.8.1", "gcc/9"], ["cuda/12", "cudnn"]),
        (["cuda/12", "cudnn/9"], []),
        ([], ["cuda/12", "cudnn"]),
        (None, []),
    ],
)
def test_a_module_that_did_not_load_without_an_error(
    answers: dict[str, Any], tmp_path: Path, loaded: list[str] | None, absent: list[str]
) -> None:
    answers["modules"] = loaded
    found = checked(tmp_path, "cuda/12 cudnn").get("modules")
    assert (found.says.partition(" (")[0].split(", ") if found else []) == absent
    assert found is None or found.level == "problem"


@pytest.mark.parametrize("what", ["torch", "numpy", "Python", "its environment"])
def test_a_module_that_changes_python(answers: dict[str, Any], tmp_path: Path, what: str) -> None:
    answers["computes"] = {**probe.python(), what: "/opt/other"}
    found = checked(tmp_path)["python on node"]
    assert found.level == "problem"
    assert f"{what} is /opt/other, here {probe.python()[what]}" in found.says


def test_where_the_job_left_no_log_another_one_looks(
    answers: dict[str, Any], node: Clients, tmp_path: Path
) -> None:
    answers["host"] = ""
    hidden = tmp_path / "runs"
    node._write("sbatch", f"rm -r {hidden}\n{(node.bin / 'sbatch').read_text()}")
    found = checked(hidden)
    assert {about: each.level for about, each in found.items()} == {
        "job": "problem",
        "run root on node": "problem",
    }
