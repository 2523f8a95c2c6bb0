"""The declaration of this machine's background as a launcher."""

from __future__ import annotations

from harness.spec.declarations import Launcher

LAUNCHER = Launcher(
    kind="local",
    title="the background of this machine",
    opener="harness.launch.local.launcher:Local",
    jobs="harness.launch.local.jobs:Processes",
    libraries=("submitit",),
)
