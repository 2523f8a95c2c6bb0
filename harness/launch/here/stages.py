"""Run a plan on this machine: one stage after the other, or several at once."""

from __future__ import annotations

from collections.abc import Callable

from harness import interpreter
from harness.errors import HarnessError
from harness.inputs import Inputs
from harness.launch.here.workers import FATAL, Ending, ended, run_at_once
from harness.launch.protocol import Tally
from harness.launch.rank import run_as
from harness.launch.spawn import spawned
from harness.launch.stage_record import describe
from harness.launch.threads import usual
from harness.plan import Plan, PlannedStage
from harness.recipe.identity import record, spec
from harness.site import Site
from harness.stage.execute import Job, pick_device
from harness.stage.reporter import Reporter
from harness.store.edition import edition
from harness.store.layout import StageFolder, stage_folder
from harness.store.ledger import read_entry
from harness.store.stale import BEGUN, why_stale


def run_here(plan: Plan, site: Site, reporter: Reporter, stopping: Callable[[], bool]) -> Tally:
    """Run the plan's stages that have to run, each on one or several processes.

    An error in one run does not stop the others; the tally lists it.

    Raises:
        NoData, DiskError: no run can continue.
        HarnessError: the device does not exist, or several stages cannot share it.
    """
    device = pick_device(site.device)
    if site.at_once > 1 and (device != "cpu" or site.processes > 1):
        raise HarnessError(
            f"at_once {site.at_once}: several stages at once need a CPU, and one process each; "
            "leave it out, or add --device cpu --processes 1"
        )
    todo = _Todo(plan, site, device)
    threads = usual((stage_folder(site.runs, stage.id) for stage in plan.stages), site.processes)
    if site.at_once > 1:
        stopped = run_at_once(todo, site.at_once, reporter, stopping, threads)
        todo.tally.interrupted |= stopped
        return todo.tally
    while (stage := todo.first()) is not None:
        if stopping():
            todo.tally.interrupted = True
            break
        job = todo.begin(stage)
        with ended() as how:
            how.state = _run(job, site, reporter, stopping, threads)
        if todo.end(stage, how):
            break
    return todo.tally


def _run(
    job: Job, site: Site, reporter: Reporter, stopping: Callable[[], bool], threads: int
) -> str:
    """Run a stage on the site's processes, of which this one is the first."""
    words = interpreter.command("harness.launch.rank", str(job.folder))
    words += ["--data", str(job.data_root), "--device", job.device]
    words += ["--threads", str(threads)]
    with spawned(words, site.processes) as (placement, lost):
        return run_as(placement, job, reporter, stopping, lost=lost, threads=threads)


class _Todo:
    """The stages of a plan that have to run, and how those that ended did.

    Stages that build on one that another process runs, or that has no usable result, are dropped.
    A data set is first opened by one stage alone, which may download it.
    """

    def __init__(self, plan: Plan, site: Site, device: str) -> None:
        self._plan, self._site, self._device = plan, site, device
        self._left = list(plan.todo)
        self._parents = {stage.id: stage.parent for stage in self._left}
        self._data = {
            stage.id: spec(stage.recipe, stage.name).data(stage.recipe).name for stage in self._left
        }
        self._opening: dict[str, str] = {}
        self._opened: set[str] = set()
        self._running: set[str] = set()
        self._unusable: set[str] = set()
        self.tally = Tally()
        for stage in self._left:
            if stage.action == "again" and not stage.entry.done:
                _leave_behind(stage_folder(site.runs, stage.id))

    def first(self) -> PlannedStage | None:
        """The first stage that can start now; None: none is left, or all wait for running ones."""
        waiting = self._running | {stage.id for stage in self._left}
        for stage in list(self._left):
            parent = self._parents[stage.id]
            if parent in self._unusable:
                self._left.remove(stage)
                waiting.discard(stage.id)
                self._unusable.add(stage.id)
                if parent in self.tally.elsewhere:
                    self.tally.elsewhere[stage.id] = ""
            elif parent not in waiting and self._data[stage.id] not in self._opening.values():
                return stage
        return None

    def begin(self, stage: PlannedStage) -> Job:
        """Take the stage, and make its folder."""
        self._left.remove(stage)
        self._running.add(stage.id)
        if (data := self._data[stage.id]) not in self._opened:
            self._opening[stage.id] = data
        folder = stage_folder(self._site.runs, stage.id)
        if stage.action == "again" and _still_stale(stage, folder, self._site):
            folder.set_aside()
        folder.create(describe(stage, self._plan.name))
        return Job(folder.path, self._site.data, self._device)

    def opened(self, stage: PlannedStage) -> None:
        """The stage has opened its data."""
        self._opened.add(self._data[stage.id])
        self._opening.pop(stage.id, None)

    def end(self, stage: PlannedStage, how: Ending) -> bool:
        """Count how it ended; whether the plan's other stages must not begin either.

        Raises:
            NoData, DiskError: no run can continue.
        """
        self._running.discard(stage.id)
        self._opening.pop(stage.id, None)
        tally = self.tally
        if how.fatal:
            raise FATAL[how.fatal](how.message)
        if how.state == "interrupted":
            tally.interrupted = True
            return True
        if how.state == "finished":
            tally.finished.append(stage.id)
            return False
        if how.state == "already done":
            folder = stage_folder(self._site.runs, stage.id)
            if (folder.result or {}).get("state") != "diverged":
                return False
        elif how.state == "diverged":
            tally.diverged.append(stage.id)
        elif how.state == "busy":
            tally.elsewhere[stage.id] = how.message
        else:
            tally.codes.add(how.exit_code)
            tally.failed.append((stage.id, how.message))
        self._unusable.add(stage.id)
        return False


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
