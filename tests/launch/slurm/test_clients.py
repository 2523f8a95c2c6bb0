from __future__ import annotations

from pathlib import Path

import pytest
from launch.world import World

import harness
from harness.launch.slurm import clients
from harness.launch.slurm.clients import ClientOutput, Cluster, ask, environment

PACKAGE = Path(harness.__file__).parent

NAMES = ("squeue", "sacct", "sacctmgr", "scontrol", "sbatch", "scancel", "sinfo")

JOB = {
    "SLURM_JOB_ID": "12",
    "SLURM_CLUSTER_NAME": "here",
    "SLURM_MEM_PER_NODE": "8",
    "SUBMITIT_FOLDER": "x",
    "SQUEUE_STATES": "RUNNING",
    "SACCT_FORMAT": "JobID",
    "SINFO_FORMAT": "%N",
    "SCANCEL_STATE": "PENDING",
    "SBATCH_JOB_NAME": "mine",
    "SBATCH_NO_REQUEUE": "1",
    "SBATCH_OUTPUT": "elsewhere",
}
WANTED = {"SLURM_CONF": "/c", "SLURM_JWT": "t", "SBATCH_QOS": "low", "PATH": "/bin"}
WHOLE = {"SLURM_BITSTR_LEN": "0"}
"""An array's waiting elements are printed in full."""


def test_no_jobs_variables_and_no_defaults_for_the_output() -> None:
    assert environment({**JOB, **WANTED}) == {**WANTED, **WHOLE}


def test_all_clients_speak_to_the_cluster_that_sbatch_is_to_take() -> None:
    assert environment({"SLURM_CLUSTERS": "b"}) == {"SLURM_CLUSTERS": "b", **WHOLE}
    assert environment({"SBATCH_CLUSTERS": "b"}) == {"SLURM_CLUSTERS": "b", **WHOLE}


def test_every_client_is_called_with_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    for client in NAMES:
        (world.bin / client).write_text("#!/bin/sh\nenv\n")
        (world.bin / client).chmod(0o755)
        got = {line.partition("=")[0] for line in ask(client).lines}
        assert "PATH" in got
        assert not got & JOB.keys()


def test_nobody_else_calls_a_client() -> None:
    called = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "subprocess.run" in (text := path.read_text())
        and any(f'"{name}"' in text for name in NAMES)
    }
    assert called == {"launch/slurm/clients.py"}


def test_what_went_wrong_in_a_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.says("squeue", "  a \n\nb\n")
    assert ask("squeue") == ClientOutput(["a", "b"])
    world.says("squeue", code=1, err="squeue: error: Unable to contact slurm controller")
    assert ask("squeue").error == "squeue: error: Unable to contact slurm controller"
    world.says("squeue", code=3)
    assert ask("squeue").error == "squeue: exit code 3"
    (world.bin / "squeue").write_bytes(b"#!/bin/sh\nprintf '\\377n1\\n'\n")
    assert ask("squeue").lines == ["\ufffdn1"]
    (world.bin / "squeue").write_text("#!/bin/sh\nexec sleep 30\n")
    assert ask("squeue", timeout=0.2).error == "squeue: no answer in 0.2 s"
    monkeypatch.setenv("PATH", str(world.root))
    assert ask("squeue").error.startswith("squeue: not installed")


MUNGE = """\
squeue: error: If munged is up, restart with --num-threads=10
squeue: error: Munge encode failed: Failed to access "/m": No such file (Did you start munged?)
slurm_load_jobs error: Protocol authentication error
"""


def test_silence_is_told_from_a_refusal(world: World) -> None:
    world.says("squeue", code=1, err="error: Unable to contact slurm controller (connect failure)")
    assert ask("squeue").silent
    world.says("squeue", code=1, err=MUNGE)
    assert ask("squeue").silent
    assert "Munge encode failed" in ask("squeue").error
    world.says("squeue", code=1, err="sbatch: error: invalid partition specified: x")
    assert not ask("squeue").silent
    text = "#!/bin/sh\necho 'error: Munge encode failed: x' >&2\nexec sleep 30\n"
    (world.bin / "squeue").write_text(text)
    said = ask("squeue", timeout=0.5)
    assert (said.silent, said.error) == (True, "error: Munge encode failed: x")


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ("ClusterName = b\nPrivateData = none\n", Cluster("b")),
        ("ClusterName = b\nMaxArraySize = 1001\n", Cluster("b", most=1001)),
        ("ClusterName = b\nPrivateData = accounts,jobs\n", Cluster("b", hides_others=True)),
        ("", Cluster("here")),
    ],
)
def test_the_cluster(
    world: World, monkeypatch: pytest.MonkeyPatch, says: str, expected: Cluster
) -> None:
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "here")
    world.says("scontrol", says, code=0 if says else 1)
    assert clients.cluster() == expected
    monkeypatch.setenv("SLURM_CLUSTERS", "b")
    assert clients.cluster().name == expected.name.replace("here", "")
