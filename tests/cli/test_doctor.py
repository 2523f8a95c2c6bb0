"""`moco-harness doctor` without SLURM."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from cli.conftest import Moco


@pytest.fixture(autouse=True)
def _no_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_machine_without_slurm(moco: Moco, place: Path) -> None:
    (place / "site.yaml").write_text("device: cpu\n")
    said = moco("doctor", "--site", "site.yaml")
    assert said.code == 0
    assert "site.yaml: valid" in said.out
    for about in ("site file", "run root", "data root", "python", "wandb", "torch", "devices"):
        assert f"  {about} " in said.out
    assert "problem" not in said.out


def test_a_site_file_that_is_wrong(moco: Moco, place: Path) -> None:
    (place / "site.yaml").write_text("slurm:\n  partion: gpu\n")
    said = moco("doctor", "--site", "site.yaml")
    assert said.code == 1
    assert "problem  site file     site.yaml:2: slurm.partion" in said.out


def test_a_cluster_that_is_not_there(moco: Moco, place: Path) -> None:
    (place / "site.yaml").write_text("slurm: {partition: gpu}\n")
    said = moco("doctor", "--site", "site.yaml", "--submit")
    assert said.code == 1
    assert "problem  SLURM         sbatch, squeue, scontrol, sinfo, scancel not on PATH" in said.out
    assert "warning  job           not sent" in said.out


@pytest.mark.parametrize(
    ("gres", "least"), [("gpu:a100:4", "slurm: {gpus_per_node: 4}"), ("(null)", "slurm: {}")]
)
def test_a_login_node_without_a_slurm_section(
    moco: Moco, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gres: str, least: str
) -> None:
    monkeypatch.setattr("harness.doctor.machine.probe_here", lambda: "not asked: it loads PyTorch")
    for name, says in (("sbatch", ""), ("sinfo", gres)):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (tmp_path / name).chmod(0o755)
    said = moco("doctor")
    assert f"`{least}`" in said.out


def test_no_folder_for_temporary_files_is_a_finding(
    moco: Moco, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:  # pytest needs such files too
        without.setattr(tempfile, "tempdir", str(place / "gone"))
        said = moco("doctor")
    assert said.code == 1
    assert "problem  TMPDIR " in said.out
