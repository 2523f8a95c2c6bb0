"""Run stages in this process, and in child processes that end with it."""

from __future__ import annotations

from collections.abc import Callable

from harness.estimate import Computer, computer
from harness.launch.protocol import Attached, Tally, Testbed
from harness.plan import Plan
from harness.site import Site
from harness.stage.reporter import Reporter


class Here(Attached):
    """The launcher for this process."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def computer(self) -> Computer | None:
        return computer(self._site.device, self._site.processes, self._site.at_once)

    def ready(self) -> None:
        if self._site.device.startswith("cuda"):  # else there is no need to load torch
            from harness.stage.execute import refuse_absent

            refuse_absent(self._site.device)

    def testbed(self) -> Testbed:
        from harness.launch.here.testbed import Machine

        return Machine(self._site)

    def run(self, plan: Plan, reporter: Reporter, stopping: Callable[[], bool]) -> Tally:
        from harness.launch.here.stages import run_here

        return run_here(plan, self._site, reporter, stopping)
