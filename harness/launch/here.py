"""Run a plan in this process, one stage after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.errors import Busy, HarnessError
from harness.plan import Plan, describe
from harness.site import Site
from harness.stage.execute import Job, execute, pick_device
from harness.stage.reporter import Reporter
from harness.store.layout import stage_folder


@dataclass
class Tally:
    """How the stages of a plan ended."""

    finished: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    interrupted: bool = False


def run_here(plan: Plan, site: Site, reporter: Reporter, stopping: Callable[[], bool]) -> Tally:
    """Run what the plan has to do.

    A defect in one run does not stop the others; it is told in the tally. What would stop them all
    (data, disk) is raised.

    Raises:
        HarnessError: data or disk do not allow it.
    """
    device = pick_device(site.device)
    tally = Tally()
    unusable: set[str] = set()
    for stage in plan.todo:
        if stopping():
            tally.interrupted = True
            return tally
        description = describe(stage, plan.name)
        if description["parent"] in unusable:
            unusable.add(stage.id)
            continue
        folder = stage_folder(site.runs, stage.id)
        folder.create(description)
        try:
            state = execute(Job(folder.path, site.data, device), reporter, stopping)
        except Busy as error:
            tally.elsewhere.append(str(error))
            unusable.add(stage.id)
        except HarnessError:
            raise
        except Exception as error:
            tally.failed.append((stage.id, f"{type(error).__name__}: {error}"))
            unusable.add(stage.id)
        else:
            if state == "interrupted":
                tally.interrupted = True
                return tally
            (tally.finished if state == "finished" else tally.diverged).append(stage.id)
            if state == "diverged":
                unusable.add(stage.id)
    return tally
