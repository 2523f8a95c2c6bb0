"""The declaration of SLURM as a launcher, and the job that a process runs in."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from harness.spec.declarations import Launcher

LAUNCHER = Launcher(
    kind="slurm",
    title="SLURM",
    opener="harness.launch.slurm.launcher:Slurm",
    jobs="harness.launch.slurm.jobs:Cluster",
    section="harness.launch.slurm.site:SlurmSite",
    unusable="harness.launch.slurm.config:unusable",
    inside="harness.launch.slurm.config:own_job",
    variables=(
        "SLURM_JOB_ID",
        "SLURM_ARRAY_JOB_ID",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_RESTART_COUNT",
    ),
    libraries=("submitit",),
    examiner="harness.doctor.slurm.examiner:Slurm",
)


def unusable() -> str:
    """Why jobs cannot be submitted from this machine, "" if they can."""
    if shutil.which("sbatch") is None:
        return "no sbatch on PATH: this machine cannot submit SLURM jobs"
    return ""


def own_job(env: Mapping[str, str]) -> dict[str, Any] | None:
    """The job, or array element, of `env`, its restart count and its cluster's name: {"job": "12_3"
    or "12", "restart": n, "cluster": name}; None outside of jobs."""
    array, index = env.get("SLURM_ARRAY_JOB_ID"), env.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{index}" if array and index else env.get("SLURM_JOB_ID")
    if not job:
        return None
    restart = env.get("SLURM_RESTART_COUNT") or "0"
    found = {"job": job, "restart": int(restart) if restart.isdecimal() else 0}
    cluster = env.get("SLURM_CLUSTER_NAME")
    return {**found, "cluster": cluster} if cluster else found
