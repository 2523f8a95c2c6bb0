"""Run a plan on this machine: one stage after the other, each on one or several processes."""

from __future__ import annotations

from collections.abc import Callable

from harness import interpreter
from harness.errors import AlreadyDone, Busy, DiskError, HarnessError, NoData
from harness.inputs import Inputs
from harness.launch.protocol import Tally
from harness.launch.rank import run_as
from harness.launch.spawn import spawned
from harness.launch.threads import usual
from harness.plan import BEGUN, Plan, PlannedStage, describe
from harness.recipe.identity import record
from harness.redact import redact
from harness.site import Site
from harness.stage.execute import Job, pick_device
from harness.stage.reporter import Reporter
from harness.store.edition import edition
from harness.store.layout import StageFolder, stage_folder
from harness.store.ledger import read_entry
from harness.store.stale import why_stale


def run_here(plan: Plan, site: Site, reporter: Reporter, stopping: Callable[[], bool]) -> Tally:
    """Run the plan's stages that have to run.

    An error in one run does not stop the others; the tally lists it.

    Raises:
        NoData, DiskError: no run can continue.
        HarnessError: the device does not exist.
    """
    device = pick_device(site.device)
    tally = Tally()
    unusable: set[str] = set()
    for stage in plan.todo:
        if stage.action == "again" and not stage.entry.done:
            _leave_behind(stage_folder(site.runs, stage.id))
    threads = usual((stage_folder(site.runs, stage.id) for stage in plan.stages), site.processes)
    for stage in plan.todo:
        if stopping():
            tally.interrupted = True
            return tally
        description = describe(stage, plan.name)
        if description["parent"] in unusable:
            unusable.add(stage.id)
            if description["parent"] in tally.elsewhere:
                tally.elsewhere[stage.id] = ""
            continue
        folder = stage_folder(site.runs, stage.id)
        if stage.action == "again" and _still_stale(stage, folder, site):
            folder.set_aside()
        folder.create(description)
        job = Job(folder.path, site.data, device)
        try:
            words = interpreter.command("harness.launch.rank", str(job.folder))
            words += [
                "--data",
                str(job.data_root),
                "--device",
                job.device,
                "--threads",
                str(threads),
            ]
            with spawned(words, site.processes) as (placement, lost):
                state = run_as(placement, job, reporter, stopping, lost=lost, threads=threads)
        except AlreadyDone:
            if (folder.result or {}).get("state") == "diverged":
                unusable.add(stage.id)
        except Busy as error:
            tally.elsewhere[stage.id] = str(error)
            unusable.add(stage.id)
        except (NoData, DiskError):
            raise
        except Exception as error:
            known = isinstance(error, HarnessError)
            tally.codes.add(getattr(error, "exit_code", HarnessError.exit_code))
            message = redact(str(error) if known else f"{type(error).__name__}: {error}")
            tally.failed.append((stage.id, message))
            unusable.add(stage.id)
        else:
            if state == "interrupted":
                tally.interrupted = True
                return tally
            (tally.finished if state == "finished" else tally.diverged).append(stage.id)
            if state == "diverged":
                unusable.add(stage.id)
    return tally


def _leave_behind(folder: StageFolder) -> None:
    """Move a begun stage aside whose parent is run again, before that run begins: were it
    interrupted, the next one would not know that the stage began with other weights."""
    if read_entry(folder).state in BEGUN:
        folder.set_aside()


def _still_stale(stage: PlannedStage, folder: StageFolder, site: Site) -> bool:
    """Whether the stage is done and stale now: since the plan was made, another process may have
    run it, and the inputs may have changed."""
    above = read_entry(stage_folder(folder.path.parent, stage.parent)) if stage.parent else None
    entry = read_entry(folder)
    wanted = record(stage.recipe, stage.name)
    code = edition(stage.kind, stage.recipe.contrast.kind, stage.recipe.optim.kind)
    inputs = Inputs(site.data, site.runs)
    return entry.done and bool(why_stale(entry, above, code, wanted, inputs))
