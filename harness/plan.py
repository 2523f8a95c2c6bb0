"""What a recipe asks for: its stages in order, which of them are done, and about how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness import estimate
from harness.errors import StoreError
from harness.recipe.ablation import Scale
from harness.recipe.expand import Expansion, Member, expand, more_seeds
from harness.recipe.identity import PARENT, StageKind, digest, stage_id, stages
from harness.recipe.load import load
from harness.recipe.rules import KNOWN_SIZES
from harness.recipe.schema import SCHEMA_VERSION, Recipe
from harness.store.edition import edition
from harness.store.layout import stage_folder
from harness.store.ledger import Entry, State, look
from harness.store.stale import why_stale

Action = Literal["run", "resume", "retry", "again", "skip", "busy", "refuse"]

_ACTIONS: dict[State, Action] = {
    "absent": "run",
    "interrupted": "resume",
    "failed": "retry",
    "finished": "skip",
    "diverged": "skip",
    "running": "busy",
    "damaged": "refuse",
}


@dataclass(frozen=True)
class PlannedStage:
    """One stage of one run, and what `run` will do about it."""

    member: Member
    kind: StageKind
    id: str
    entry: Entry
    action: Action
    why: str
    seconds: float | None
    """About how long, if this machine has measured something alike."""
    stale: bool = False
    """Done, but by other code, or with other weights than its parent now has."""

    @property
    def recipe(self) -> Recipe:
        return self.member.recipe


@dataclass(frozen=True)
class Plan:
    """All stages that a recipe file asks for, parents before children."""

    name: str
    """The recipe's name; with --set also a digest of them, so that reports are kept apart."""
    path: Path
    scale: Scale | None
    expansion: Expansion | None
    stages: tuple[PlannedStage, ...]
    on: estimate.Computer
    """What the estimates are for."""

    @property
    def todo(self) -> tuple[PlannedStage, ...]:
        """The stages that `run` will begin or go on with."""
        return tuple(s for s in self.stages if s.action in ("run", "resume", "retry", "again"))

    @property
    def seconds(self) -> float | None:
        """About how long the whole takes here; None if any part is unknown."""
        parts = [stage.seconds for stage in self.todo]
        return None if None in parts else sum(p for p in parts if p is not None)

    @property
    def stated_hours(self) -> float | None:
        """Hours by the recipes' own statements (about.cost), where nothing was measured here."""
        costs = [
            (stage.recipe.about.cost or (self.scale.about.cost if self.scale else None))
            for stage in self.todo
            if stage.kind == "pretrain" and stage.recipe.optim.epochs
        ]
        return None if not costs or None in costs else sum(c.hours for c in costs if c)

    @property
    def images(self) -> int | None:
        """Images that pre-training will pass through; None if a data set's size is not known."""
        total = 0
        for stage in self.todo:
            optim, data = stage.recipe.optim, stage.recipe.data
            if stage.kind == "pretrain" and optim.epochs:
                size = data.images or KNOWN_SIZES.get(data.name)
                if size is None:
                    return None
                total += optim.epochs * size
        return total

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
    on: estimate.Computer | None = None,
) -> Plan:
    """The plan of a recipe or ablation recipe with `--set` overrides, against the run root.

    With `again`, stages whose results are stale are run anew (the old folders are moved aside).
    `added` gives cells seeds beyond the ablation recipe's own.
    Times are those of `on`; None: of one process on what this machine has.

    Raises:
        RecipeError: the file or an override cannot be accepted.
        StoreError: the run root is not a folder.
    """
    place = next((p for p in (runs, *runs.parents) if p.exists()), None)
    if place is not None and not place.is_dir():
        raise StoreError(f"{place}: a file, not a folder; name another run root with --runs")
    loaded = load(path, sets)
    if isinstance(loaded, Scale):
        expansion = expand(loaded, path)
        members, scale = [*expansion.members, *more_seeds(expansion, added or {})], loaded
    else:
        expansion, scale = None, None
        members = [Member(cell="", seed=loaded.seed, recipe=loaded)]
    on = on or estimate.computer("auto", 1)
    measured = estimate.history(runs, on)
    planned: list[PlannedStage] = []
    for member in members:
        by_kind: dict[str, Entry] = {}
        renewed: set[StageKind | None] = set()
        for kind in stages(member.recipe):
            entry = look(stage_folder(runs, stage_id(member.recipe, kind)))
            by_kind[kind] = entry
            parent = PARENT[kind]
            above = by_kind[parent] if parent else None
            stale = _stale(entry, above) or (entry.done and parent in renewed)
            action, why = _decide(entry, above)
            if stale:
                action, why = ("again" if again else "skip"), str(stale)
            if action == "again":
                renewed.add(kind)
            made = estimate.steps_done(entry.folder) if action == "resume" else 0
            took = estimate.seconds(member.recipe, kind, measured, made)
            seconds = took if action != "skip" else 0.0
            planned.append(
                PlannedStage(
                    member, kind, entry.folder.id, entry, action, why, seconds, bool(stale)
                )
            )
    name = f"{loaded.name}~{digest(list(sets))}" if sets else loaded.name
    return Plan(name, path, scale, expansion, tuple(planned), on)


def _stale(entry: Entry, parent: Entry | None) -> str:
    """Why a finished stage's result is not one of the code and weights at hand; "" if it is."""
    why = why_stale(entry.result, parent.result if parent else None, edition())
    return f"{entry.state}, {why}" if entry.done and why else ""


def _decide(entry: Entry, parent: Entry | None) -> tuple[Action, str]:
    if parent is not None and parent.state == "diverged":
        return "skip", "pre-training diverged"
    if parent is not None and not entry.done and parent.state in ("running", "damaged"):
        return _ACTIONS[parent.state], parent.detail
    return _ACTIONS[entry.state], entry.detail or entry.state


def describe(stage: PlannedStage, group: str) -> dict[str, Any]:
    """The stage's stage.json: all that a process needs to run it."""
    parent = PARENT[stage.kind]
    return {
        "schema": SCHEMA_VERSION,
        "id": stage.id,
        "kind": stage.kind,
        "name": stage.recipe.name,
        "seed": stage.recipe.seed,
        "group": group,
        "cell": stage.member.cell,
        "parent": stage_id(stage.recipe, parent) if parent else None,
        "recipe": stage.recipe.model_dump(mode="json"),
    }
