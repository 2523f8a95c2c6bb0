"""The SLURM job that a process runs in, from its environment. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
