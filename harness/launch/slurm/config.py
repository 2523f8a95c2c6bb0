"""The declaration of SLURM as a launcher."""

from __future__ import annotations

import shutil

from harness.spec.declarations import Launcher

LAUNCHER = Launcher(
    kind="slurm",
    title="SLURM",
    opener="harness.launch.slurm.launcher:Slurm",
    jobs="harness.launch.slurm.jobs:Cluster",
    section="harness.launch.slurm.site:SlurmSite",
    unusable="harness.launch.slurm.config:unusable",
    inside="harness.launch.slurm.own:own_job",
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
