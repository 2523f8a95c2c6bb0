"""The background of this machine as a launcher, and the job that a process runs in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.spec.declarations import Launcher

LAUNCHER = Launcher(
    kind="local",
    title="the background of this machine",
    opener="harness.launch.local.launcher:Local",
    jobs="harness.launch.local.jobs:Processes",
    inside="harness.launch.local.config:own_job",
    libraries=("submitit",),
)


def own_job(env: Mapping[str, str]) -> dict[str, Any] | None:
    """The background job of `env`, {"job": its number, "restart": 0}; None outside of jobs."""
    job = env.get("SUBMITIT_LOCAL_JOB_ID")  # submitit sets it
    return {"job": job, "restart": 0} if job else None
