"""The declaration of this process as a launcher."""

from __future__ import annotations

from harness.spec.declarations import Launcher

LAUNCHER = Launcher(
    kind="here",
    title="this process",
    opener="harness.launch.here.launcher:Here",
    attached=True,
)
