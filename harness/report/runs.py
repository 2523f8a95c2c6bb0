"""One run (a recipe with one seed) read back from its folders: states, values, curves, provenance.

Reading never fails: what is damaged, torn or of another kind than expected becomes a state or a
warning of the run, so that one bad folder does not cost the report of all the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.errors import StoreError
from harness.recipe.ablation import Metric
from harness.recipe.identity import READS, StageKind, digest, stage_id, stages
from harness.recipe.schema import Recipe
from harness.store import atomic, journal
from harness.store.layout import StageFolder, stage_folder
from harness.store.ledger import Entry, State, look
from harness.store.stale import why_stale
from harness.track import cursor

METRIC_STAGE: dict[Metric, StageKind] = {"knn/top1": "knn", "linear/top1": "linear"}
"""The stage that measures each metric."""

POINTS = 400
"""A training-loss curve is thinned to at most so many points, by the means of equal blocks."""

UNKNOWN = "unknown"
"""Edition or data of a result that does not name its own: it fits no other result."""

Point = tuple[float, float]
"""(epoch, value)"""

Standing = Literal["finished", "diverged", "probe diverged", "no probe"] | State


WORDS: dict[str, str] = {"absent": "not run"}
"""States that a reader knows under another name."""


@dataclass(frozen=True)
class Stage:
    """One stage of a run as it lies on disk."""

    kind: StageKind
    id: str
    entry: Entry
    attempt: dict[str, Any]
    """Provenance of the attempt that ended the stage (of the newest while none has); {} if none."""
    editions: tuple[str, ...]
    """Every edition that had a part in the result: one, unless code changed before a resume."""
    fingerprint: str
    values: dict[str, float]
    """What result.json reports; finite numbers only."""
    seconds: float
    mirror: str
    """Its run in Weights & Biases: project, id and mode; "" if it has none."""

    @property
    def state(self) -> State:
        return self.entry.state


@dataclass(frozen=True)
class Outcome:
    """What one run says about one metric."""

    standing: Standing
    value: float | None
    """In percent; None unless both pre-training and evaluation finished."""
    detail: str
    editions: tuple[str, ...]
    """Of all stages behind the value; more than one means mixed."""
    fingerprints: tuple[str, ...]
    results: tuple[dict[str, Any] | None, ...] = ()
    """Each such stage's result.json, parents first."""

    def why_stale(self, edition: str) -> str:
        """Why it is not one of `edition` and of its pre-training's present weights, else ""."""
        above = (None, *self.results)
        whys = [why_stale(*pair, edition) for pair in zip(self.results, above, strict=False)]
        return ", ".join(dict.fromkeys(filter(None, whys)))


@dataclass(frozen=True)
class Run:
    """One member of a table: a cell's recipe with one seed."""

    cell: str
    seed: int
    recipe: Recipe
    stages: dict[StageKind, Stage]
    loss: tuple[Point, ...] = ()
    """Training loss over epochs, thinned; in nats."""
    knn: tuple[Point, ...] = ()
    """Monitored kNN top-1 over epochs, in percent, at the recipe's protocol only."""
    warnings: tuple[str, ...] = field(default=())

    @property
    def anchor(self) -> str:
        return f"run-{self.cell}-s{self.seed}"

    @property
    def recipe_digest(self) -> str:
        """Of every section that decides the run's numbers, defaults included."""
        dumped = self.recipe.model_dump(mode="json")
        return digest({name: dumped[name] for kind in READS for name in READS[kind]})

    def outcome(self, metric: Metric) -> Outcome:
        """What the run says about `metric`; a diverged pre-training is diverged for each."""
        chain = [self.stages["pretrain"]]
        if METRIC_STAGE[metric] in self.stages:
            chain.append(self.stages[METRIC_STAGE[metric]])
        editions = tuple(sorted({e for stage in chain for e in stage.editions}))
        prints = tuple(sorted({stage.fingerprint for stage in chain if stage.fingerprint}))
        results = tuple(stage.entry.result for stage in chain)

        def say(standing: Standing, detail: str = "", value: float | None = None) -> Outcome:
            return Outcome(standing, value, detail, editions, prints, results)

        if chain[0].state != "finished":
            return say(chain[0].state, chain[0].entry.detail)
        if len(chain) == 1:
            return say("no probe", "the recipe has no linear probe")
        last = chain[1]
        if last.state == "diverged":
            return say("probe diverged", last.entry.detail)
        if last.state != "finished":
            return say(last.state, last.entry.detail)
        if metric not in last.values:
            return say("damaged", f"{last.id}: result.json has no number for {metric}")
        return say("finished", value=last.values[metric])


def read_run(cell: str, seed: int, recipe: Recipe, runs: Path) -> Run:
    """Read a member's stages under the run root `runs`; what is not there is absent."""
    found = {kind: _stage(kind, recipe, runs) for kind in stages(recipe)}
    warnings = [
        f"{stage.id}: attempts of different editions ({', '.join(stage.editions)}) in one result"
        for stage in found.values()
        if len(stage.editions) > 1
    ]
    warnings += [
        f"{stage.id}: damaged ({stage.entry.detail})"
        for stage in found.values()
        if stage.state == "damaged"
    ]
    try:
        records = journal.read(found["pretrain"].entry.folder)
    except (OSError, StoreError) as error:
        records = []
        warnings.append(f"{found['pretrain'].id}: its journal cannot be read ({error})")
    if not records and found["pretrain"].state in ("finished", "diverged") and recipe.optim.epochs:
        warnings.append(f"{found['pretrain'].id}: no journal, so no curves")
    knn, others = _monitored(records, recipe)
    if others:
        warnings.append(
            f"{found['pretrain'].id}: {others} monitored kNN values of another protocol "
            "are left out of its curve"
        )
    loss = thin(_points(records, "train/loss"))
    return Run(cell, seed, recipe, found, loss, tuple(knn), tuple(warnings))


def _stage(kind: StageKind, recipe: Recipe, runs: Path) -> Stage:
    folder = stage_folder(runs, stage_id(recipe, kind))
    entry = look(folder)
    result = entry.result or {}
    attempts = folder.attempts() if entry.state != "absent" else []
    ended = result.get("attempt")
    own = next((a for a in attempts if int(a.name) == ended), attempts[-1] if attempts else None)
    attempt = _provenance(own)
    edition = (result or attempt).get("edition")
    # a result that rests on attempts of several editions names them all
    editions = edition.split("+") if isinstance(edition, str) else [UNKNOWN] if result else []
    data = result.get("data") or attempt.get("data")
    print_ = data.get("fingerprint") if isinstance(data, dict) else None
    values = result.get("values")
    return Stage(
        kind=kind,
        id=folder.id,
        entry=entry,
        attempt=attempt,
        editions=tuple(sorted(set(editions))),
        fingerprint=str(print_ or (UNKNOWN if result else "")),
        values={
            str(name): float(value)
            for name, value in (values.items() if isinstance(values, dict) else ())
            if is_number(value)
        },
        seconds=float(result["seconds"]) if is_number(result.get("seconds")) else 0.0,
        mirror=_mirror(folder),
    )


def _provenance(attempt: Path | None) -> dict[str, Any]:
    try:
        found = atomic.read_json(attempt / "attempt.json") if attempt else None
    except StoreError:
        found = None
    return found if isinstance(found, dict) else {}


def _mirror(folder: StageFolder) -> str:
    """The stage's run in Weights & Biases, "" if it has none."""
    try:
        found = cursor.peek(folder)
    except StoreError:
        return ""
    return f"{found.project}/{found.id} ({found.mode})" if found and found.mode else ""


def _monitored(records: list[journal.Record], recipe: Recipe) -> tuple[list[Point], int]:
    """(kNN points at the recipe's protocol, number of points at another one)."""
    wanted = _protocol(recipe.knn.model_dump(mode="json"))
    measured = [record for record in records if "knn/top1" in record]
    same = [r for r in measured if _protocol(r.get("protocol")) in (wanted, None)]
    return _points(same, "knn/top1"), len(measured) - len(same)


def _protocol(said: Any) -> tuple[Any, ...] | None:
    """What decides a monitored value: the k reported, not those that show sensitivity."""
    if not isinstance(said, dict):
        return None
    k = said.get("k")
    first = k[0] if isinstance(k, list) and k else k
    return first, said.get("temperature"), said.get("layer"), said.get("queries")


def _points(records: Iterable[journal.Record], metric: str) -> list[Point]:
    return [
        (float(epoch), float(value))
        for _, epoch, value in journal.series(records, metric)
        if is_number(epoch) and is_number(value)
    ]


def thin(points: list[Point], most: int = POINTS) -> tuple[Point, ...]:
    """At most `most` points: the means of consecutive blocks of one size (the last is shorter)."""
    block = max(1, math.ceil(len(points) / most))
    if block == 1:
        return tuple(points)
    return tuple(
        (math.fsum(x for x, _ in part) / len(part), math.fsum(y for _, y in part) / len(part))
        for part in (points[i : i + block] for i in range(0, len(points), block))
    )


def is_number(value: object) -> bool:
    """Whether `value` is a finite number (True and False are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
