"""One run (a recipe with one seed) as reports see it: states, values, curves, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any, Literal

from harness.recipe.ablation import Metric
from harness.recipe.identity import canonical, digest
from harness.recipe.knn_words import Trained, trained_on
from harness.recipe.reported import is_measured
from harness.recipe.schema import Recipe
from harness.recipe.section import last_part, plain
from harness.report.curves import Curves
from harness.report.measures import COSTS
from harness.spec.registry import task_of, tasks
from harness.store.edition import Editions
from harness.store.ledger import Entry, FileState
from harness.store.stale import CheckInput, why_stale

LOSS: Literal["train/loss"] = "train/loss"
"""The mean over the last epoch, in nats."""

PAPERS_EPOCHS = 200
"""Epochs of cost/hours, as in MoCo v2's Table 3."""

UNKNOWN = "unknown"
"""Edition or data of a result that has no record of it: it matches no other result."""

Standing = Literal["finished", "diverged", "probe diverged", "no probe"] | FileState


WORDS: dict[str, str] = {"absent": "not run", "unreadable": "cannot be read"}
"""States that reports show under another name."""


@dataclass(frozen=True)
class Stage:
    """One stage of a run as stored on disk."""

    name: str
    """Its name in the run: see harness.recipe.identity.StageSpec."""
    kind: str
    parent: str | None
    """The name of the stage that it reads its weights from."""
    under: str
    """The task's name under the recipe's `tasks:`; "" for a task with a section of its own."""
    reported: tuple[str, ...]
    """The metrics that its result should have."""
    own_data: bool
    """Whether it uses other data than the run."""
    own_section: str
    """The sections of its task that name data of its own (data, masks, boxes, images), as canonical
    text; "" if it reads the run's data only."""
    subject: str
    """What its editions are for: see harness.store.edition.subject."""
    id: str
    entry: Entry
    attempt: dict[str, Any]
    """Provenance of the attempt that finished the stage, or of the newest attempt; {} if none."""
    editions: tuple[str, ...]
    """All editions that contributed to the result: one, unless code changed before a resume."""
    fingerprint: str
    values: dict[str, float]
    """The values in result.json; finite numbers only."""
    seconds: float
    processes: int
    device: str
    """The device that computed the result, e.g. "NVIDIA H100"; "" if not recorded."""
    wanted: dict[str, Any]
    """The expected content of its stage.json: see harness.recipe.identity.record."""
    inputs: CheckInput | None
    """Checks the data and weights that the result was made from; None: no check."""
    mirrors: tuple[str, ...]
    """Its run in each tracker: tracker, project, id and mode."""

    @property
    def state(self) -> FileState:
        return self.entry.state

    @property
    def data_fingerprint(self) -> str:
        """Of the data that its values are of, which may be a set of the task's own; `fingerprint`
        is of the run's, which runs are compared by."""
        return str(self.entry.data.get("fingerprint") or self.fingerprint)

    def is_of(self, editions: Editions) -> bool:
        """Whether its result has only its edition of these."""
        return self.editions in ((), (editions[self.subject],))

    def why_stale(self, of: Mapping[str, Stage], edition: str | None) -> str:
        """Why its result is stale; "" if it is not. `of`: the stages of its run by name, at least
        its parent; `edition`: the required one, None: any."""
        above = of[self.parent].entry if self.parent else None
        return why_stale(self.entry, above, edition, self.wanted, self.inputs)


@dataclass(frozen=True)
class RunOutcome:
    """One run's outcome for one metric."""

    standing: Standing
    value: float | None
    """In percent; None unless both pre-training and evaluation finished."""
    detail: str
    fingerprints: tuple[str, ...]
    """Of the run's data, in all stages behind the value."""
    stages: tuple[Stage, ...] = ()
    """The stages behind the value, parents first."""
    copied: str = ""
    """Why it may be a copy of another result, or the other a copy of it; "" if neither."""

    @cached_property
    def own_fingerprints(self) -> frozenset[tuple[str, str]]:
        """(section, fingerprint) of the data that only a stage behind the value reads: the data
        that it was trained and tested on."""
        return frozenset(
            (stage.own_section, stage.data_fingerprint)
            for stage in self.stages
            if stage.own_section and stage.entry.result
        )

    @property
    def mixed(self) -> bool:
        """Whether a stage behind the value was resumed with changed code."""
        return any(len(stage.editions) > 1 for stage in self.stages)

    def is_of(self, editions: Editions) -> bool:
        """Whether all stages behind the value have only these editions."""
        return all(stage.is_of(editions) for stage in self.stages)

    def why_stale(self, editions: Editions) -> str:
        """Why the value is stale: its recipe, edition, pre-training, data or inputs differ from the
        present ones, or it may be a copy; "" if it is not."""
        if self.copied:
            return self.copied
        of = {stage.name: stage for stage in self.stages}
        whys = [stage.why_stale(of, editions[stage.subject]) for stage in self.stages]
        return ", ".join(dict.fromkeys(filter(None, whys)))


@dataclass(frozen=True)
class Run:
    """One member of a table: a cell's recipe with one seed."""

    cell: str
    seed: int
    recipe: Recipe
    stages: dict[str, Stage]
    curves: Curves = field(default_factory=Curves)
    warnings: tuple[str, ...] = field(default=())
    copied: str = ""
    """The runs that it may be a copy of, as `mark_copies` lists them."""

    @property
    def anchor(self) -> str:
        return f"run-{self.cell}-s{self.seed}"

    @property
    def name(self) -> str:
        return f"{self.cell} (seed {self.seed})"

    @cached_property
    def data_key(self) -> str:
        """Key of the data section: runs with the same key must have found the same data."""
        return canonical(self.recipe.data.model_dump(mode="json"))

    @cached_property
    def started(self) -> str:
        """Start of its newest attempt (UTC, ISO 8601); "" if not recorded."""
        return max(str(each.attempt.get("started", "")) for each in self.stages.values())

    @property
    def weights(self) -> str:
        """Digest of the pre-training's last checkpoint; "" if there is none."""
        return str((self.stages["pretrain"].entry.result or {}).get("weights") or "")

    @property
    def given(self) -> dict[str, str]:
        """{"file" or "run": ..., "sha256" or "md5": ...} of its initial weights; {} for random
        ones. The digest is the one found or, before there is a result, the prefix in the recipe."""
        weights, source = self.recipe.model.weights, self.recipe.continue_from
        if weights is None and source is None:
            return {}
        inputs = (self.stages["pretrain"].entry.result or {}).get("inputs")
        said = inputs.get("weights") if isinstance(inputs, dict) else None
        found = said.get("sha256") if isinstance(said, dict) else None
        digest = {"sha256": found} if isinstance(found, str) and found else {}
        if weights is None or weights.file is None:
            run = last_part(source or "") if weights is None else weights.named
            return {"run": run, **digest}
        named = {"sha256": weights.sha256, "md5": weights.md5}
        said = {kind: each for kind, each in named.items() if each}
        return {"file": weights.named, **(digest or said)}

    @cached_property
    def trained_on(self) -> Trained:
        """The data that its weights were pre-trained on, in this run or before it."""
        recipe, result = self.recipe, self.stages["pretrain"].entry.result or {}
        said = recipe.model_dump(mode="json", include={"data", "model", "optim", "continue_from"})
        return trained_on(said, result.get("trained_on"))

    @property
    def continues(self) -> Mapping[str, Any]:
        """{"stage", "step", "edition", "optim"} of the run that it continues, from its result; {}
        if it continues none, or before it has a result."""
        said = (self.stages["pretrain"].entry.result or {}).get("continues")
        return said if isinstance(said, Mapping) else {}

    @property
    def device(self) -> str:
        """The device of pre-training, e.g. "NVIDIA H100 × 8"; "" before it has a result."""
        stage = self.stages["pretrain"]
        several = f" × {stage.processes}" if stage.processes > 1 else ""
        return stage.device + several if stage.device else ""

    @property
    def recipe_digest(self) -> str:
        """Hash of every section that decides the run's numbers, defaults included."""
        dumped = plain(self.recipe)
        names = [name for each in tasks().values() for name in each.reads]
        return digest({name: dumped[name] for name in (*names, "tasks") if name in dumped})

    def behind(self, metric: Metric | Literal["train/loss"], under: str = "") -> list[Stage]:
        """The stages that measure `metric`, with all their trials; none if the recipe has none.

        Args:
            under: a task of the recipe's `tasks:`. "": the task with a section of its own or,
                without one, the only task of its kind under `tasks:`.
        """
        if metric == LOSS or metric in COSTS:
            return [self.stages["pretrain"]]
        kind, main = task_of()[metric], self.recipe.data
        if not under and kind in self.stages:
            return [self.stages[kind]] if is_measured(metric, main) else []
        of_kind = {
            name
            for name, said in self.recipe.tasks.items()
            if said.kind == kind and is_measured(metric, said.data or main)
        }
        wanted = of_kind & {under} if under else of_kind
        return [s for s in self.stages.values() if s.under in wanted] if len(wanted) == 1 else []

    def outcome(self, metric: Metric | Literal["train/loss"], under: str = "") -> RunOutcome:
        """The run's outcome for `metric`, the mean over its trials. A diverged pre-training is
        diverged for every metric. `under`: see `behind`."""
        measuring = self.behind(metric, under)
        chain = [self.stages["pretrain"]]
        above = measuring[0].parent if measuring else None
        while above is not None and above != "pretrain":
            chain.insert(1, self.stages[above])
            above = self.stages[above].parent
        chain += measuring
        prints = tuple(sorted({s.fingerprint for s in chain if s.fingerprint and not s.own_data}))

        def say(standing: Standing, detail: str = "", value: float | None = None) -> RunOutcome:
            return RunOutcome(standing, value, detail, prints, tuple(chain), self.copied)

        if chain[0].state != "finished":
            return say(chain[0].state, chain[0].entry.detail)
        if not measuring:
            data = self.recipe.data
            if is_measured(metric, data):
                return say("no probe", f"the recipe has no `{task_of()[metric]}` section")
            return say("no probe", f"{metric} is not measured on {data.folder or data.name}")
        for last in chain[1:]:
            if last.state == "diverged":
                return say("probe diverged", last.entry.detail)
            if last.state != "finished":
                return say(last.state, last.entry.detail)
        for last in measuring:
            if metric not in last.values:
                return say("damaged", f"{last.id}: result.json has no number for {metric}")
        return say("finished", value=fmean(last.values[metric] for last in measuring))
