"""Plan a recipe: its stages in order, which of them are done, and the estimated time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from harness import estimate, source
from harness.errors import StoreError
from harness.makespan import Part, makespan
from harness.recipe import stated_cost
from harness.recipe.ablation import CONTROL, Scale
from harness.recipe.difference import varied_fields
from harness.recipe.expand import Expansion, Member, expand, more_seeds
from harness.recipe.identity import digest, record, spec, specs, stage_id
from harness.recipe.load import loaded
from harness.recipe.schema import Cost, Recipe
from harness.recipe.settings import suggest_on_error
from harness.recipe.several_seeds import separated
from harness.recipe.untrained import Controls, untrained, without_training
from harness.store import atomic
from harness.store.edition import edition
from harness.store.layout import stage_folder
from harness.store.ledger import Entry, FileState, beside, read_entry
from harness.store.liveness import is_of
from harness.store.stale import CheckInput, other_weights, why_stale
from harness.store.validity import copies, why_copy

Action = Literal["run", "resume", "retry", "again", "skip", "busy", "refuse"]

TO_DO: tuple[Action, ...] = ("run", "resume", "retry", "again")

_ACTIONS: dict[FileState, Action] = {
    "absent": "run",
    "interrupted": "resume",
    "failed": "retry",
    "finished": "skip",
    "diverged": "skip",
    "running": "busy",
    "damaged": "refuse",
    "unreadable": "refuse",
}


class Job(Protocol):
    """What a launcher reports about a stage's newest job."""

    @property
    def job(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def says(self) -> str: ...
    @property
    def live(self) -> bool: ...
    @property
    def on(self) -> str: ...
    @property
    def cluster(self) -> str: ...


@dataclass(frozen=True)
class PlannedStage:
    """One stage of one run, and what `run` will do about it."""

    member: Member
    name: str
    """The stage's name in its run: see harness.recipe.identity.StageSpec."""
    kind: str
    id: str
    entry: Entry
    action: Action
    why: str
    seconds: float | None
    """Estimated duration, if this machine has measured something similar."""
    source: str = ""
    """Where `seconds` comes from."""
    left: float = 1.0
    """The share of pre-training that a resumed run still has to do."""
    stale: bool = False
    """Done, but by other code or from other inputs than the present ones."""
    control: str = ""
    """The id of the stage that measures the untrained network with the same seed, on the same data
    and by the same protocol; "" if the plan has none."""
    varies: tuple[str, ...] = ()
    """The recipe's fields in which the plan's cells differ."""
    metric: str = ""
    """What the ablation's table shows; "" for a single recipe."""

    @property
    def recipe(self) -> Recipe:
        return self.member.recipe

    @property
    def parent(self) -> str | None:
        """The id of the stage that this one reads."""
        above = spec(self.recipe, self.name).parent
        return stage_id(self.recipe, above) if above else None


@dataclass(frozen=True)
class Plan:
    """All stages of a recipe file, parents before children."""

    name: str
    """The recipe's name. With --set a digest of the settings is added, to keep reports apart."""
    path: Path
    scale: Scale | None
    expansion: Expansion | None
    stages: tuple[PlannedStage, ...]
    on: estimate.Computer
    """The computer that the estimates are for."""
    written: Mapping[str, Recipe] = field(default_factory=dict)
    """The recipes by cell for which costs are stated, where others are planned."""

    @property
    def todo(self) -> tuple[PlannedStage, ...]:
        """The stages that `run` will start or resume."""
        return tuple(s for s in self.stages if s.action in TO_DO)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that are planned, each once; without those of a single recipe's control."""
        own = (s.member.seed for s in self.stages if not self.is_beside(s))
        return tuple(dict.fromkeys(own))

    @property
    def control(self) -> Recipe | None:
        """The recipe of the untrained network beside a single recipe, with the first seed. None: it
        has none, or this is an ablation, where it is a cell."""
        return next((stage.recipe for stage in self.stages if self.is_beside(stage)), None)

    def is_beside(self, stage: PlannedStage) -> bool:
        """Whether the stage belongs to the control of a single recipe, which others may share."""
        return self.scale is None and stage.member.cell == CONTROL

    @property
    def seconds(self) -> float | None:
        """Estimated duration of the whole plan here; None if any part is unknown. A single recipe's
        control counts only once it was measured, unless nothing else is left to do."""
        asked = [stage for stage in self.todo if not self.is_beside(stage)]
        known = [s for s in self.todo if self.is_beside(s) and s.seconds is not None]
        counted = [*asked, *known] if asked else self.todo
        parts = [Part(s.id, s.parent, s.seconds) for s in counted if s.seconds is not None]
        return makespan(parts, self.on.at_once) if len(parts) == len(counted) else None

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of the estimates of unfinished stages, each once."""
        return tuple(dict.fromkeys(s.source for s in self.todo if s.source))

    @property
    def stated_hours(self) -> float | None:
        """Hours stated in the recipes (about.cost), for use if nothing was measured here."""
        costs = self._costs()
        return None if costs is None else sum(cost.hours * share for cost, share in costs)

    @property
    def stated_gpu_hours(self) -> float | None:
        """`stated_hours`, each multiplied by the number of GPUs that it is stated for."""
        costs = self._costs()
        if costs is None:
            return None
        return sum(cost.hours * share * max(1, cost.gpus) for cost, share in costs)

    @property
    def stated_cpu_hours(self) -> float | None:
        """`stated_hours`; None if any is stated for GPUs."""
        on_gpus = any(cost.gpus for cost, _ in self._costs() or ())
        return None if on_gpus else self.stated_hours

    def _costs(self) -> list[tuple[Cost, float]] | None:
        """(stated cost, share) of unfinished training; None if there is none, or one has none."""
        pretrains = any(stage.recipe.optim.epochs for stage in self.stages)
        found = []
        for stage in self.todo:
            before = self.written.get(stage.member.cell)
            part = stated_cost.share(stage.recipe, stage.name, pretrains=pretrains, written=before)
            if part == 0:
                continue
            cost = stage.recipe.about.cost or (self.scale.about.cost if self.scale else None)
            if part is None or cost is None:
                return None
            found.append((cost, part * stage.left))
        return found or None

    @property
    def images(self) -> int | None:
        """Images that training will still process, over all epochs; None if a data set's size is
        not known."""
        each = [(stated_cost.images(s.recipe, s.name), s.left) for s in self.todo]
        known = [n * left for n, left in each if n is not None]
        return round(sum(known)) if len(known) == len(each) else None

    @property
    def hours(self) -> float | None:
        """The best estimate: measured here, else stated, else None."""
        return self.seconds / 3600 if self.seconds is not None else self.stated_hours


def make_plan(
    path: Path,
    sets: Sequence[str],
    runs: Path,
    *,
    again: bool = False,
    added: Mapping[str, Sequence[int]] | None = None,
    jobs: Mapping[str, Job] | None = None,
    behind: str = "",
    on: estimate.Computer | None = None,
    inputs: CheckInput | None = None,
) -> Plan:
    """The plan of a recipe or ablation recipe with `--set` overrides, for the state of the run
    root.

    Args:
        again: run stages with stale results again (the old folders are moved aside).
        added: seeds by cell, beyond the ablation recipe's own.
        jobs: by stage id, the newest job of each stage that was submitted to a cluster.
        behind: also plan stages that wait for a job of this launcher, which supports dependencies;
            "": plan none.
        on: the computer for the estimates; None: one process on this machine's device.
        inputs: checks whether data and weights have changed since; None: no check.

    Raises:
        RecipeError: the file or an override cannot be accepted.
        StoreError: the run root is not a folder.
    """
    try:
        place = next((p for p in (runs, *runs.parents) if p.exists()), None)
    except OSError as error:
        raise atomic.unread(error, runs) from error
    if place is not None and not place.is_dir():
        raise StoreError(f"{place}: a file, not a folder; name another run root with --runs")
    found, expansion, seeds = suggest_on_error(sets, lambda tried: _expanded(path, tried))
    if expansion is not None and isinstance(found, Scale):
        members, scale = [*expansion.members, *more_seeds(expansion, added or {})], found
    else:
        assert isinstance(found, Recipe)
        alike = [found.model_copy(update={"seed": seed}) for seed in seeds or (found.seed,)]
        scale, members = None, [Member("", one.seed, one) for one in alike]
        if (control := untrained(found)) is not None:
            own = (control.model_copy(update={"seed": one.seed}) for one in alike)
            members += [Member(CONTROL, one.seed, one) for one in own]
    beside = Controls(members)
    varies = varied_fields(members)
    on = on or estimate.computer("auto", 1)
    measured = estimate.history(runs, on)
    planned: list[PlannedStage] = []
    for member in members:
        by_name: dict[str, Entry] = {}
        held: dict[str, str] = {}
        refused: dict[str | None, str] = {}
        renewed: set[str | None] = set()
        for name, each in specs(member.recipe).items():
            entry = read_entry(stage_folder(runs, stage_id(member.recipe, name)))
            job = (jobs or {}).get(entry.folder.id)
            if (
                job is not None
                and ended(job)
                and is_of(entry.who or {}, job.on, job.job, job.cluster)
            ):
                entry = replace(entry, state="interrupted", detail=f"job {job.job}: {job.state}")
            by_name[name] = entry
            parent = each.parent
            above = by_name[parent] if parent else None
            stale = _stale(entry, above, member.recipe, name, inputs)
            # in the queue of a background job, a stage keeps its stale result until it begins
            asked = job is not None and (not entry.done or (again and stale and job.live))
            said = _job(job) if job is not None and asked else ""
            if said:
                held[name] = said
            elif parent in held and not entry.done:
                before = (jobs or {}).get(by_name[parent].folder.id) if parent else None
                waits = before is None or before.on == behind
                said = "" if behind and waits else held[parent]
                above = None  # the parent will have run by then
            action, why = _decide(entry, above)
            if said:
                action, why = "busy", said
            elif stale:
                action, why = ("again" if again else "skip"), stale
            elif action != "busy" and (
                renew := other_weights(entry, by_name.get(parent or ""), renewed=parent in renewed)
            ):
                action, why = "again", f"{entry.state}, and {parent} {renew}"
            if action == "again":
                renewed.add(name)
            made = estimate.steps_done(entry.folder) if action in ("resume", "retry") else 0
            if parent is None and action in TO_DO and not made:
                action, why, made = _source(member.recipe, runs, action, why)
                refused |= {name: why} if action == "refuse" else {}
            elif parent in refused and action in TO_DO:
                action, why = "refuse", refused[parent]
            took = estimate.guess(member.recipe, name, measured, made)
            if took is None and scale is None and member.cell == CONTROL:
                took = estimate.guess(without_training(members[0].recipe), name, measured)
            planned.append(
                PlannedStage(
                    member,
                    name,
                    each.task.kind,
                    entry.folder.id,
                    entry,
                    action,
                    why,
                    seconds=0.0 if action == "skip" else took.seconds if took else None,
                    source=took.source if took else "",
                    left=estimate.left(member.recipe, name, measured, entry, made),
                    stale=entry.done and (bool(stale) or action == "again"),
                    control=beside.of(member, each),
                    varies=varies,
                    metric=scale.metric if scale is not None else "",
                )
            )
    written = stated_cost.as_written(path, sets, found, expansion)
    called = f"{found.name}~{digest(list(sets))}" if sets else found.name
    return Plan(called, path, scale, expansion, tuple(_refuse_copies(planned, runs)), on, written)


def _refuse_copies(stages: Sequence[PlannedStage], runs: Path) -> Iterator[PlannedStage]:
    """The stages. A stage that shares its result with a copy is refused, because one of the two has
    no result of its own."""
    done = {s.id: (s.entry.described, s.entry.result) for s in stages if s.entry.result}
    found = copies(beside(runs, done) | done)
    for stage in stages:
        if stage.action == "skip" and stage.id in found:
            why = f"{why_copy(*found[stage.id])}; move the copy away, and run again"
            yield replace(stage, action="refuse", why=why, stale=False)
        else:
            yield stage


def _expanded(
    path: Path, sets: Sequence[str]
) -> tuple[Recipe | Scale, Expansion | None, tuple[int, ...]]:
    others, seeds = separated(path, sets)
    found = loaded(path, others)
    return found, expand(found, path) if isinstance(found, Scale) else None, seeds


def _stale(
    entry: Entry, parent: Entry | None, recipe: Recipe, name: str, inputs: CheckInput | None
) -> str:
    """Why a finished stage's result is not from the present code and inputs; "" if it is."""
    if not entry.done:
        return ""
    code = edition(spec(recipe, name).task.kind, recipe.contrast.kind, recipe.optim.kind)
    why = why_stale(entry, parent, code, record(recipe, name), inputs)
    return f"{entry.state}, {why}" if why else ""


def over(job: Job) -> bool:
    """Whether the job will not run again: it ended, or the launcher does not know it any more."""
    return not job.live and job.state != "UNKNOWN"


def ended(job: Job) -> bool:
    """Whether the job has certainly ended. A job that the launcher does not know any more is
    uncertain."""
    return over(job) and job.state != "GONE"


def _source(recipe: Recipe, runs: Path, action: Action, why: str) -> tuple[Action, str, int]:
    """(action, why, steps that can be skipped) of a pre-training without its own checkpoint. It is
    refused if it must start with a run's weights and cannot."""
    given = source.located(recipe, runs)
    if given is None:
        return action, why, 0
    if unfit := source.why_unfit(recipe, given):
        return "refuse", unfit, 0
    made = (given.result or {}).get("step", 0) if recipe.continue_from is not None else 0
    return action, why, made


def _job(job: Job) -> str:
    """The job that has the stage, or may have it; "" if none."""
    if job.state == "UNKNOWN":
        return f"job {job.job or '(of unknown number)'} {job.says}"
    if not job.live:
        return ""
    return f"job {job.job} {job.says}"


def _decide(entry: Entry, parent: Entry | None) -> tuple[Action, str]:
    if parent is not None and parent.state == "diverged":
        return "skip", "pre-training diverged"
    if (
        parent is not None
        and not entry.done
        and parent.state in ("running", "damaged", "unreadable")
    ):
        return _ACTIONS[parent.state], parent.detail
    return _ACTIONS[entry.state], entry.detail or entry.state
