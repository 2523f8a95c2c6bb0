"""The script of a job, as far as bash alone can run it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.launch.failure_reason import failure_reason
from harness.launch.job_states import JobState
from harness.launch.slurm import sbatch
from harness.launch.slurm.site import SlurmSite
from harness.store.submission import Array

LOADS = 'module() { export LOADED="$LOADED $2"; }\n'
REFUSES = "module() { echo \"Lmod: the module '$2' is unknown\" >&2; return 1; }\n"


def setup(folder: Path, before: str, *modules: str) -> subprocess.CompletedProcess[str]:
    """What the script does before srun."""
    array = Array("moco-x-0", "pretrain", ("a",))
    (folder / "moco-x-0.0.pkl").touch()
    own = SlurmSite(modules=modules, setup=("echo after $LOADED",))
    made = sbatch.executor(own, array, folder, folder, None)
    text, _, _ = sbatch.script(made, array).partition("\n# command")
    env = {"SLURM_JOB_ID": "12", "SLURMD_NODENAME": "n1", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["bash", "-c", before + text], env=env, capture_output=True, text=True, timeout=60
    )


def test_modules_that_load(tmp_path: Path) -> None:
    done = setup(tmp_path, LOADS, "cuda/12", "gcc")
    assert (done.returncode, done.stdout) == (0, "after cuda/12 gcc\n")


@pytest.mark.parametrize(
    ("before", "own"), [(REFUSES, "Lmod: the module 'cuda/12' is unknown"), ("", "not found")]
)
def test_a_module_that_does_not_load_ends_the_job(tmp_path: Path, before: str, own: str) -> None:
    done = setup(tmp_path, before, "cuda/12", "gcc")
    assert (done.returncode, done.stdout) == (2, "")
    assert own in done.stderr, "its own words are in the log"
    found = failure_reason(
        JobState("12", "FAILED", exit="2:0"), ended="", message="", log=done.stderr
    )
    assert found.words.startswith("n1 cannot load cuda/12 (slurm.modules)")
